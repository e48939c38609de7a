package main

import "testing"

// Inline runs a body right here, without a host: `go test`.
func TestItNamesWhomItGreets(t *testing.T) {
	greeting, err := compose.Inline(Whom{"Ann"})
	if greeting != "Hello, Ann!" || err != nil {
		t.Error(greeting, err)
	}
	receipt, err := send.Inline(Letter{greeting, 0})
	if receipt.Attempt != 1 || err != nil {
		t.Error(receipt, err)
	}
}
