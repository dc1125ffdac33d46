package main

import (
	mathrand "math/rand/v2"
	"slices"
)

// Node is one element of a DER structure, taken apart so that it can be damaged in ways that keep it parseable.
type Node struct {
	tag      byte
	prefix   []byte // the unused-bits octet of a BIT STRING that holds DER
	content  []byte
	children []*Node
	nested   bool
	long     bool // write the length in more octets than DER allows
}

func parseDER(der []byte) ([]*Node, bool) {
	var nodes []*Node
	for len(der) > 0 {
		if len(der) < 2 || der[0]&0x1f == 0x1f {
			return nil, false
		}
		length, head := int(der[1]), 2
		if der[1] >= 0x80 {
			octets := int(der[1] & 0x7f)
			if octets == 0 || octets > 3 || len(der) < 2+octets {
				return nil, false
			}
			length, head = 0, 2+octets
			for _, b := range der[2:head] {
				length = length<<8 | int(b)
			}
		}
		if len(der) < head+length {
			return nil, false
		}
		node := &Node{tag: der[0], content: der[head : head+length]}
		switch {
		case node.tag&0x20 != 0:
			node.children, node.nested = parseDER(node.content)
		case node.tag == 4 && length > 2:
			node.children, node.nested = parseDER(node.content)
		case node.tag == 3 && length > 3:
			node.children, node.nested = parseDER(node.content[1:])
			node.prefix = node.content[:1]
		}
		nodes = append(nodes, node)
		der = der[head+length:]
	}
	return nodes, true
}

func (n *Node) encode() []byte {
	content := n.content
	if n.nested {
		content = slices.Clone(n.prefix)
		for _, child := range n.children {
			content = append(content, child.encode()...)
		}
	}
	head := []byte{n.tag}
	switch length := len(content); {
	case n.long:
		head = append(head, 0x83, byte(length>>16), byte(length>>8), byte(length))
	case length < 0x80:
		head = append(head, byte(length))
	case length < 0x100:
		head = append(head, 0x81, byte(length))
	default:
		head = append(head, 0x82, byte(length>>8), byte(length))
	}
	return append(head, content...)
}

func (n *Node) walk(visit func(*Node)) {
	visit(n)
	for _, child := range n.children {
		child.walk(visit)
	}
}

// mutateDER damages a structure in one or two places and says how.
func mutateDER(r *mathrand.Rand, der []byte) ([]byte, string) {
	if len(der) == 0 {
		return []byte{5, 0}, "made NULL"
	}
	der = slices.Clone(der)
	switch r.IntN(8) {
	case 0:
		at := r.IntN(len(der))
		der[at] ^= 1 << r.IntN(8)
		return der, "bit flipped"
	case 1:
		at := r.IntN(min(len(der), 40))
		der[at] = byte(r.Uint32())
		return der, "byte changed near the start"
	case 2:
		return der[:r.IntN(len(der))], "cut"
	case 3:
		return append(der, make([]byte, 1+r.IntN(4))...), "zeros appended"
	}
	roots, ok := parseDER(der)
	if !ok || len(roots) != 1 {
		return der[1:], "first byte dropped"
	}
	var nodes []*Node
	roots[0].walk(func(n *Node) { nodes = append(nodes, n) })
	n := nodes[r.IntN(len(nodes))]
	what := "element kept"
	switch r.IntN(12) {
	case 0:
		n.long, what = true, "long length"
	case 1:
		n.tag, what = byte(r.Uint32()), "tag changed"
	case 2:
		if n.nested {
			n.children, what = append(n.children, &Node{tag: 5}), "NULL appended"
		} else {
			n.content, what = append([]byte{0}, n.content...), "leading zero"
		}
	case 3:
		if n.nested && len(n.children) > 0 {
			at := r.IntN(len(n.children))
			n.children, what = slices.Delete(slices.Clone(n.children), at, at+1), "element removed"
		} else {
			n.content, what = nil, "emptied"
		}
	case 4:
		if n.nested && len(n.children) > 0 {
			n.children, what = append(n.children, n.children[r.IntN(len(n.children))]), "element repeated at the end"
		} else {
			n.content, what = append(slices.Clone(n.content), 0), "zero appended inside"
		}
	case 5:
		if n.nested && len(n.children) > 1 {
			i := r.IntN(len(n.children) - 1)
			n.children = slices.Clone(n.children)
			n.children[i], n.children[i+1] = n.children[i+1], n.children[i]
			what = "elements swapped"
		} else {
			n.content, what = append([]byte{0xff}, n.content...), "leading ff"
		}
	case 6:
		if n.tag == 3 {
			unused := byte(1 + r.IntN(7))
			n.prefix, what = []byte{unused}, "unused bits"
			if !n.nested && len(n.content) > 0 {
				n.content = slices.Clone(n.content)
				n.content[0] = unused
			}
		} else {
			n.tag, what = n.tag^0x20, "constructed bit"
		}
	case 7:
		if !n.nested && len(n.content) > 0 {
			n.content, what = n.content[1:], "first content byte dropped"
		}
	case 8:
		if !n.nested && len(n.content) > 0 {
			n.content = slices.Clone(n.content)
			n.content[0] ^= 0x80
			what = "sign changed"
		}
	case 9:
		if !n.nested && n.tag == 2 {
			n.content = [][]byte{{0}, {1}, {2}, {0xff}, {3}, {0, 0x80}, {0x7f}, {1, 0, 0}}[r.IntN(8)]
			what = "integer replaced"
		}
	case 10:
		if !n.nested && len(n.content) > 0 {
			at := r.IntN(len(n.content))
			n.content = slices.Clone(n.content)
			n.content[at] ^= 1 << r.IntN(8)
			what = "content bit flipped"
		}
	case 11:
		other := nodes[r.IntN(len(nodes))]
		if other != roots[0] && !contains(other, n) {
			*n, what = *other, "element replaced by another"
		}
	}
	return roots[0].encode(), what
}

func contains(tree, wanted *Node) bool {
	found := false
	tree.walk(func(n *Node) { found = found || n == wanted })
	return found
}
