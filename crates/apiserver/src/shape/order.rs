//! A list brought to other values and another order, item by item: an item that stays keeps what belongs to it, such as
//! its comments and its quotes, and so moves whole.

use serde_json::Value;

use super::after;
use crate::edit::{Operation, Path};

/// One change of a list, which counts what the ones before it left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Move { from: usize, to: usize },
    Set { at: usize, text: String },
    Insert { at: usize, text: String },
    Remove { at: usize },
}

/// From one list of values to another.
pub(super) fn steps(current: &[String], wanted: &[String]) -> Vec<Step> {
    let mut list = current.to_vec();
    let mut steps = Vec::new();
    let gone = |list: &[String]| -> Vec<usize> {
        let all = list.iter().enumerate();
        let gone = all.filter(|(_, text)| !wanted.contains(text));
        gone.map(|(at, _)| at).collect()
    };
    // A new value takes the place of one that goes; the others that go make room first.
    let new = wanted.iter().filter(|text| !list.contains(text)).count();
    for at in gone(&list).into_iter().skip(new).rev() {
        list.remove(at);
        steps.push(Step::Remove { at });
    }
    for (at, text) in wanted.iter().enumerate() {
        let here = list.get(at);
        if here == Some(text) {
            continue;
        }
        let later = list.iter().skip(at).position(|one| one == text);
        if let Some(from) = later.map(|offset| at + offset) {
            let moved = list.remove(from);
            list.insert(at, moved);
            steps.push(Step::Move { from, to: at });
            continue;
        }
        let text = text.clone();
        if let Some(one) = list.get_mut(at).filter(|one| !wanted.contains(one)) {
            one.clone_from(&text);
            steps.push(Step::Set { at, text });
        } else {
            list.insert(at.min(list.len()), text.clone());
            steps.push(Step::Insert { at, text });
        }
    }
    // What is left is there twice.
    steps.extend(
        (wanted.len()..list.len())
            .rev()
            .map(|at| Step::Remove { at }),
    );
    steps
}

/// The same where every value stays in its place and is written over.
pub(super) fn in_place(current: &[String], wanted: &[String]) -> Vec<Step> {
    let differ = wanted.iter().enumerate();
    let differ = differ.filter(|(at, text)| current.get(*at) != Some(text));
    let changed = differ.map(|(at, text)| {
        let text = text.clone();
        if at < current.len() {
            Step::Set { at, text }
        } else {
            Step::Insert { at, text }
        }
    });
    let gone = (wanted.len()..current.len())
        .rev()
        .map(|at| Step::Remove { at });
    changed.chain(gone).collect()
}

/// Where a value stands: in which list, and in which items of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) list: usize,
    pub(super) first: usize,
    pub(super) width: usize,
}

/// How values are written in a form.
pub(super) struct Form<'a> {
    /// The lists.
    pub(super) lists: &'a [Path],
    /// Where a value goes that has none before it: behind this slot.
    pub(super) end: Slot,
    /// The place and the new content when a slot, whose last item is given, gets another text.
    pub(super) set: &'a dyn Fn(&Value, &Path, &str) -> (Path, Value),
    /// A new item.
    pub(super) new: &'a dyn Fn(&str) -> Value,
}

impl Form<'_> {
    /// The item of a slot that stands so far behind its first one.
    fn item(&self, slot: &Slot, offset: usize) -> Option<Path> {
        let list = self.lists.get(slot.list)?;
        Some(list.index(slot.first + offset))
    }
}

/// Brings a list that holds values and nothing else to others.
pub(super) fn list(
    document: &Value,
    path: &Path,
    current: &[String],
    wanted: &[String],
) -> Vec<(Path, Operation)> {
    let slot = |first, width| Slot {
        list: 0,
        first,
        width,
    };
    let form = Form {
        lists: std::slice::from_ref(path),
        end: slot(current.len(), 0),
        set: &|_, item, text| (item.clone(), text.into()),
        new: &|text| text.into(),
    };
    let slots = (0..current.len()).map(|first| slot(first, 1)).collect();
    edits(document, slots, steps(current, wanted), &form)
}

/// The edits that make these steps.
pub(super) fn edits(
    document: &Value,
    mut slots: Vec<Slot>,
    steps: Vec<Step>,
    form: &Form<'_>,
) -> Vec<(Path, Operation)> {
    let mut document = document.clone();
    let mut edits = Vec::new();
    for step in steps {
        for edit in one(&document, &mut slots, step, form) {
            document = after(document, &edit);
            edits.push(edit);
        }
    }
    edits
}

fn one(
    document: &Value,
    slots: &mut Vec<Slot>,
    step: Step,
    form: &Form<'_>,
) -> Vec<(Path, Operation)> {
    match step {
        Step::Move { from, to } => moved(slots, from, to, form).unwrap_or_default(),
        Step::Set { at, text } => {
            let last = slots.get(at);
            let last = last.and_then(|slot| form.item(slot, slot.width - 1));
            let set = last.map(|last| (form.set)(document, &last, &text));
            set.into_iter()
                .map(|(path, value)| (path, Operation::Set(value)))
                .collect()
        }
        Step::Insert { at, text } => {
            let place = place(slots, at, &form.end);
            shift(slots, &place, usize::MAX, 1);
            slots.insert(at.min(slots.len()), place);
            let new = form.item(&place, 0);
            let new = new.map(|path| (path, Operation::Insert((form.new)(&text))));
            new.into_iter().collect()
        }
        Step::Remove { at } => removed(slots, at, form),
    }
}

fn moved(
    slots: &mut Vec<Slot>,
    from: usize,
    to: usize,
    form: &Form<'_>,
) -> Option<Vec<(Path, Operation)>> {
    let (old, new) = (*slots.get(from)?, *slots.get(to)?);
    let moves = (0..old.width).filter_map(|offset| {
        let path = form.item(&old, offset)?;
        Some((path, Operation::Move(new.first + offset)))
    });
    let moves = moves.collect();
    slots.remove(from);
    shift(slots, &new, old.first, old.width);
    let first = new.first;
    slots.insert(to, Slot { first, ..old });
    Some(moves)
}

fn removed(slots: &mut Vec<Slot>, at: usize, form: &Form<'_>) -> Vec<(Path, Operation)> {
    let Some(slot) = (at < slots.len()).then(|| slots.remove(at)) else {
        return Vec::new();
    };
    for other in slots
        .iter_mut()
        .filter(|other| other.list == slot.list && other.first > slot.first)
    {
        other.first -= slot.width;
    }
    let items = (0..slot.width)
        .rev()
        .filter_map(|offset| form.item(&slot, offset));
    items.map(|path| (path, Operation::Remove)).collect()
}

/// Where a new value goes: in front of the one that is there, else behind the last.
fn place(slots: &[Slot], at: usize, end: &Slot) -> Slot {
    if let Some(next) = slots.get(at) {
        return Slot { width: 1, ..*next };
    }
    let end = slots.last().unwrap_or(end);
    Slot {
        list: end.list,
        first: end.first + end.width,
        width: 1,
    }
}

/// Makes room in front of a place; what was behind `until` was not moved.
fn shift(slots: &mut [Slot], place: &Slot, until: usize, width: usize) {
    let behind = |slot: &&mut Slot| {
        slot.list == place.list && slot.first >= place.first && slot.first < until
    };
    for slot in slots.iter_mut().filter(behind) {
        slot.first += width;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn made(current: &str, steps: &[Step]) -> Vec<String> {
        let mut list = texts(current);
        for step in steps {
            match step.clone() {
                Step::Move { from, to } => {
                    let moved = list.remove(from);
                    list.insert(to, moved);
                }
                Step::Set { at, text } => list[at] = text,
                Step::Insert { at, text } => list.insert(at, text),
                Step::Remove { at } => drop(list.remove(at)),
            }
        }
        list
    }

    #[test]
    fn every_list_becomes_every_other() {
        let lists = [
            "", "a", "a b", "b a", "a b c", "c a b", "c b a", "b d", "d a", "a a", "a b a c",
        ];
        for current in lists {
            for wanted in lists {
                for steps in [
                    steps(&texts(current), &texts(wanted)),
                    in_place(&texts(current), &texts(wanted)),
                ] {
                    assert_eq!(
                        made(current, &steps),
                        texts(wanted),
                        "{current} -> {wanted}: {steps:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_stays_is_moved_and_not_written_over() {
        let step = |current, wanted| steps(&texts(current), &texts(wanted));
        assert_eq!(
            step("a b ours", "ours a b"),
            [Step::Move { from: 2, to: 0 }]
        );
        assert_eq!(
            step("a b", "ours a b"),
            [Step::Insert {
                at: 0,
                text: "ours".into()
            }]
        );
        assert_eq!(step("a b c", "a c"), [Step::Remove { at: 1 }]);
        assert_eq!(
            step("a", "b"),
            [Step::Set {
                at: 0,
                text: "b".into()
            }]
        );
    }
}
