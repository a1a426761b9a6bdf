// Package text lays out what a person reads in a terminal: widths, words, plurals, names that
// others chose, and the style that a terminal and a locale allow.
//
// It guarantees that no name breaks a line or writes to the terminal ([Printable]), and that no
// line is wider than asked for. Its functions are pure, but for [StyleFor], which asks a
// descriptor.
//
// It does not write, and it does not translate.
package text
