// The oracle says what kube-apiserver makes of key files, by calling kube-apiserver's own functions.
//
//	oracle documents --issuer URL --jwks-uri URI FILE...   the two documents, or the refusal, as JSON
//	oracle signing FILE                                    what the reader of the signing key makes of a file
//	oracle corpus --seed N --count M --out DIR             M random cases with the expected results, in cases.jsonl
//	oracle blocks --out DIR                                every kind of block in a file, and blocks.jsonl about them
//	oracle expect DIR                                      the expected results beside every *.pub of DIR
//	oracle version                                         the release of Kubernetes in here
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "oracle:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("a subcommand is needed: documents, signing, corpus, blocks, expect or version")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	issuer := flags.String("issuer", "https://issuer.example.com", "the issuer URL")
	jwksURI := flags.String("jwks-uri", "https://issuer.example.com/openid/v1/jwks", "the jwks_uri")
	seed := flags.Uint64("seed", 1, "the seed of the corpus")
	count := flags.Int("count", 1000, "the number of cases")
	out := flags.String("out", "", "the directory to write")
	publicOnly := flags.Bool("public-only", false, "no case with a private key in it")
	damaged := flags.Bool("damaged", false, "also damage the structures inside the PEM blocks")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	switch args[0] {
	case "documents":
		files, err := readFiles(flags.Args())
		if err != nil {
			return err
		}
		return print(documents(*issuer, *jwksURI, files))
	case "signing":
		files, err := readFiles(flags.Args())
		if err != nil {
			return err
		}
		return print(signing(files[0]))
	case "corpus":
		return writeCorpus(*out, *seed, *count, *publicOnly, *damaged)
	case "blocks":
		return writeBlocks(*out)
	case "expect":
		return writeExpected(flags.Arg(0))
	case "version":
		fmt.Println(version())
		return nil
	}
	return fmt.Errorf("no subcommand %q", args[0])
}

func readFiles(names []string) ([][]byte, error) {
	if len(names) == 0 {
		return nil, errors.New("no file was named")
	}
	var files [][]byte
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		files = append(files, text)
	}
	return files, nil
}

func print(value any) error {
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

// version is read from the build, so that it cannot differ from what runs.
func version() string {
	info, _ := debug.ReadBuildInfo()
	for _, module := range info.Deps {
		if module.Path == "k8s.io/kubernetes" {
			return "kube-apiserver " + module.Version + ", " + info.GoVersion
		}
	}
	return strings.TrimSpace(info.String())
}
