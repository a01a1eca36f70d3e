// Ledger prints a sum: a second program of the same module, with one dependency less.
package main

import "example.org/money"

func main() {
	println("ledger:", money.Sum(1, 2, 3))
}
