// Pay prints when an order placed now expires. With any argument it then runs until its standard input ends.
package main

import (
	"io"
	"os"
	"time"

	"example.org/clock"
	"example.org/money"
)

var version = "dev"

func main() {
	if money.Sum(1999, 501) != 2500 {
		os.Exit(1)
	}
	os.Stdout.WriteString("pay " + version + ": expires " + clock.Expiry(time.Now()).Format(time.RFC3339) + "\n")
	if len(os.Args) > 1 {
		io.Copy(io.Discard, os.Stdin)
	}
}
