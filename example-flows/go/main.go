// Command flows has all flows of the component: `retake build example-flows/go`.
package main

func main() {}
