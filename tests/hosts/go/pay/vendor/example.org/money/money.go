// Package money adds up cents.
package money

// Sum of some amounts, in cents.
func Sum(cents ...int64) (total int64) {
	for _, amount := range cents {
		total += amount
	}
	return total
}
