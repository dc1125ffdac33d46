package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Case is one set of key files with what kube-apiserver makes of it.
type Case struct {
	ID int `json:"id"`
	// Damaged cases have blocks whose bytes are no well-formed structure, or RSA numbers that no key has.
	Damaged   bool      `json:"damaged,omitempty"`
	What      []string  `json:"what"`
	Issuer    string    `json:"issuer"`
	JWKSURI   string    `json:"jwks_uri"`
	Files     [][]byte  `json:"files"`
	Documents Documents `json:"documents"`
	// Blocks are the PEM blocks, file by file.
	Blocks [][]Block `json:"blocks"`
	// Signing says, file by file, what it would sign with.
	Signing []Signing `json:"signing"`
}

var issuers = []string{
	"https://issuer.example.com", "https://issuer.example.com/clusters/prod", "https://10.0.0.1:6443/a",
	"https://issuer.example.com/a&b", "https://issuer.example.com/A%20b~c", "https://[2001:db8::1]:8443",
	"https://s3.eu-central-1.amazonaws.com/bucket/prod_1", "https://issuer.example.com/a'b(c)",
}

func writeCorpus(dir string, seed uint64, count int, publicOnly, damaged bool) error {
	if dir == "" {
		return fmt.Errorf("--out is needed")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	file, err := os.Create(filepath.Join(dir, "cases.jsonl"))
	if err != nil {
		return err
	}
	defer file.Close()
	buffered := bufio.NewWriter(file)
	encoder := json.NewEncoder(buffered)
	encoder.SetEscapeHTML(false)

	// The pool is the same for every seed: the seed chooses what is made of it.
	items := pool(random(0, "pool"))
	if publicOnly {
		items = slices.DeleteFunc(items, func(item Item) bool { return item.private })
	}
	whole := map[[32]byte]bool{}
	if !damaged {
		items = slices.DeleteFunc(items, func(item Item) bool { return item.impossible })
	}
	for _, item := range items {
		whole[sha256.Sum256(item.der)] = true
	}
	// Most of what is random would be refused for one block of many: choose good blocks more often.
	var good []Item
	for _, item := range items {
		block, _ := frame(nil, item.label, item.der)
		if documents(issuers[0], issuers[0], [][]byte{block}).JWKS != nil {
			good = append(good, item)
		}
	}
	for id := range count {
		// A stream per case, so that a case can be made again without those before it.
		r := random(seed, fmt.Sprint("case ", id))
		c := makeCase(r, items, good, damaged)
		for !damaged && !allWhole(c.Blocks, whole) {
			c = makeCase(r, items, good, damaged)
		}
		c.ID, c.Damaged = id, damaged
		c.Documents = documents(c.Issuer, c.JWKSURI, c.Files)
		for _, text := range c.Files {
			c.Signing = append(c.Signing, signing(text))
		}
		if err := encoder.Encode(c); err != nil {
			return err
		}
	}
	return buffered.Flush()
}

func makeCase(r *mathrand.Rand, items, good []Item, damaged bool) Case {
	var c Case
	c.Issuer = pick(r, issuers)
	c.JWKSURI = c.Issuer + pick(r, []string{"/openid/v1/jwks", "/keys.json", "/a&b"})
	for range chance(r, 60, 1, 1+r.IntN(4)) {
		text, what := keyFile(r, items, good, damaged)
		c.Files, c.What = append(c.Files, text), append(c.What, what)
		c.Blocks = append(c.Blocks, blocks(text))
	}
	return c
}

// allWhole says whether damage to the text left no damaged structure behind.
func allWhole(files [][]Block, whole map[[32]byte]bool) bool {
	for _, blocks := range files {
		for _, block := range blocks {
			if !whole[[32]byte(block.SHA256)] {
				return false
			}
		}
	}
	return true
}

func pick[T any](r *mathrand.Rand, from []T) T { return from[r.IntN(len(from))] }

// chance is the first value in so many of a hundred cases.
func chance[T any](r *mathrand.Rand, percent int, first, second T) T {
	if r.IntN(100) < percent {
		return first
	}
	return second
}

var separators = []string{
	"", "", "", "\n", "# the old key, kept until 2027\n", "Bag Attributes\n    localKeyID: 01\nKey Attributes: <No Attributes>\n",
	"junk", "\r\n\r\n", "-----\n", "-----BEGIN\n", "-----BEGIN PUBLIC KEY-----\n", "-----END PUBLIC KEY-----\n",
	"-----BEGIN -----\n", "-----BEGIN X-----\nKey: value\n", " \t ", "\x00\xff\n", "ssh-rsa AAAAB3NzaC1yc2E= me@example.com\n",
	"-----BEGIN CERTIFICATE-----\nMIIB\n", "\n-----END \n", "subject=/CN=a\nissuer=/CN=b\n", "\ufeff",
}

// keyFile makes the text of one file and says what is in it.
func keyFile(r *mathrand.Rand, items, good []Item, damaged bool) ([]byte, string) {
	var text bytes.Buffer
	var what []string
	crlf := r.IntN(8) == 0
	for range chance(r, 55, 1, 1+r.IntN(4)) {
		if r.IntN(4) == 0 {
			separator := pick(r, separators)
			text.WriteString(separator)
			what = append(what, fmt.Sprintf("%q", separator))
		}
		item := pick(r, chance(r, 65, good, items))
		der := item.der
		note := item.what
		if damaged && r.IntN(6) == 0 {
			var how string
			der, how = mutateDER(r, der)
			note += " (" + how + ")"
		}
		block, how := frame(r, item.label, der)
		if how != "" {
			note += " [" + how + "]"
		}
		text.Write(block)
		what = append(what, note)
	}
	if r.IntN(6) == 0 {
		separator := pick(r, separators)
		text.WriteString(separator)
		what = append(what, fmt.Sprintf("%q", separator))
	}
	out := text.Bytes()
	if crlf {
		out = bytes.ReplaceAll(bytes.ReplaceAll(out, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
		what = append(what, "CRLF")
	}
	if r.IntN(8) == 0 {
		var how string
		out, how = mutateText(r, out)
		what = append(what, how)
	}
	return out, strings.Join(what, "; ")
}

var labels = []string{
	"PUBLIC KEY", "RSA PUBLIC KEY", "EC PUBLIC KEY", "CERTIFICATE", "RSA PRIVATE KEY", "EC PRIVATE KEY", "PRIVATE KEY",
	"TRUSTED CERTIFICATE", "ENCRYPTED PRIVATE KEY", "X", "", "PUBLIC  KEY", "public key", "A:B", "KÉY", " PUBLIC KEY", "PUBLIC KEY ",
}

var headers = []string{
	"Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\n", "Comment: x\n\n", "Comment: x\n", ":\n", "a:b\n c:d\n\n",
	"Proc-Type: 4,MIC-ONLY\n\n", "\n", "no colon\n",
}

// frame writes a PEM block, usually well; without randomness always.
func frame(r *mathrand.Rand, label string, der []byte) ([]byte, string) {
	var notes []string
	if r != nil && r.IntN(8) == 0 {
		label = pick(r, labels)
		notes = append(notes, fmt.Sprintf("label %q", label))
	}
	begin, end := "-----BEGIN "+label+"-----\n", "-----END "+label+"-----\n"
	head := ""
	body := base64.StdEncoding.EncodeToString(der)
	width, newline := 64, "\n"
	if r != nil && r.IntN(4) == 0 {
		for range 1 + r.IntN(2) {
			how := ""
			switch r.IntN(16) {
			case 0:
				head, how = pick(r, headers), "header"
			case 1:
				width, how = pick(r, []int{1, 3, 63, 65, 76, 1 << 20}), "width"
			case 2:
				newline, how = pick(r, []string{"\r\n", " \n", "\n\n", "\t\r\n", " \r \n", "\r", " "}), "line ends"
			case 3:
				end, how = strings.TrimSuffix(end, "\n"), "no final newline"
			case 4:
				begin, how = strings.TrimSuffix(begin, "\n")+pick(r, []string{" \n", "\t\r\n", "\r\r\n", " x\n", "-\n", "\v\n"}), "after BEGIN"
			case 5:
				end, how = strings.TrimSuffix(end, "\n")+pick(r, []string{" \n", "\t\r\n", "\r\r\n", " x\n", "-\n", "\v\n"}), "after END"
			case 6:
				begin, how = pick(r, []string{" ", "x", "\t", "-", "\r"})+begin, "before BEGIN"
			case 7:
				end, how = pick(r, []string{" ", "x", "\t", "-", "\r", "\n", "\n\n \n"})+end, "before END"
			case 8:
				end, how = "-----END "+pick(r, labels)+"-----\n", "END label"
			case 9:
				body, how = strings.TrimRight(body, "="), "no padding"
			case 10:
				body, how = body+pick(r, []string{"=", "==", "A", "AAAA", "====", "\x00"}), "after the base64"
			case 11:
				body, how = strings.NewReplacer("+", "-", "/", "_").Replace(body), "base64url"
			case 12:
				begin, how = begin+begin, "BEGIN twice"
			case 13:
				end, how = end+end, "END twice"
			case 14:
				begin, how = "", "no BEGIN"
			case 15:
				end, how = pick(r, []string{"", "\n", "-----END " + label, "-----END " + label + "----\n"}), "bad END"
			}
			notes = append(notes, how)
		}
	}
	var text strings.Builder
	text.WriteString(begin + head)
	for len(body) > 0 {
		n := min(width, len(body))
		text.WriteString(body[:n] + newline)
		body = body[n:]
	}
	text.WriteString(end)
	return []byte(text.String()), strings.Join(notes, ", ")
}

// mutateText damages a whole file.
func mutateText(r *mathrand.Rand, text []byte) ([]byte, string) {
	if len(text) == 0 {
		return []byte("\n"), "emptied"
	}
	text = slices.Clone(text)
	at := r.IntN(len(text))
	switch r.IntN(7) {
	case 0:
		text[at] ^= 1 << r.IntN(8)
		return text, "bit of the text flipped"
	case 1:
		return text[:at], "text cut"
	case 2:
		return text[at:], "start of the text dropped"
	case 3:
		return slices.Delete(text, at, min(len(text), at+1+r.IntN(30))), "part of the text dropped"
	case 4:
		return slices.Insert(text, at, []byte(pick(r, separators))...), "text inserted"
	case 5:
		from := r.IntN(len(text))
		return slices.Insert(text, at, slices.Clone(text[from:min(len(text), from+r.IntN(200))])...), "part of the text repeated"
	default:
		text[at] = pick(r, []byte("-\n\r :=\t\x00A+/"))
		return text, "character replaced"
	}
}
