// Hello is built without modules.
package main

func main() {
	println("hello")
}
