// Verifies the tokens of cases.json with go-oidc. SSL_CERT_FILE names the CA.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/coreos/go-oidc/v3/oidc"
)

type plan struct {
	Issuer string `json:"issuer"`
	Cases  []struct {
		Name     string `json:"name"`
		Token    string `json:"token"`
		Audience string `json:"audience"`
		Accept   bool   `json:"accept"`
	} `json:"cases"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "go-oidc:", err)
		os.Exit(1)
	}
}

func run() error {
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		return err
	}
	var plan plan
	if err := json.Unmarshal(text, &plan); err != nil {
		return err
	}
	ctx := context.Background()
	provider, err := oidc.NewProvider(ctx, plan.Issuer)
	if err != nil {
		return err
	}
	for _, one := range plan.Cases {
		verifier := provider.Verifier(&oidc.Config{ClientID: one.Audience})
		_, err := verifier.Verify(ctx, one.Token)
		if (err == nil) != one.Accept {
			return fmt.Errorf("%s: accepted=%t %v", one.Name, err == nil, err)
		}
		if err == nil {
			fmt.Printf("go-oidc: %s: accepted\n", one.Name)
		} else {
			fmt.Printf("go-oidc: %s: refused (%v)\n", one.Name, err)
		}
	}
	return nil
}
