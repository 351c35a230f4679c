package main

import (
	"reflect"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// keys lists all keys below a struct type.
func keys(t reflect.Type, prefix string) (list []string) {
	for f := range fields(t) {
		name := prefix + f.Tag.Get("toml")
		list = append(list, name)
		if f.Type.Kind() == reflect.Struct && f.Type != reflect.TypeFor[Duration]() {
			list = append(list, keys(f.Type, name+".")...)
		}
	}
	return list
}

func fields(t reflect.Type) func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			if !yield(t.Field(i)) {
				return
			}
		}
	}
}

// lineOf finds the line of a key, which the decoder does not tell for unknown ones.
func lineOf(text string, key toml.Key) int {
	table := ""
	want := strings.Join(key, ".")
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "["); ok {
			name, _, _ = strings.Cut(strings.TrimLeft(name, "["), "]")
			table = strings.ReplaceAll(strings.TrimSpace(name), `"`, "") + "."
			if table == want+"." {
				return i + 1
			}
			continue
		}
		name, _, ok := strings.Cut(line, "=")
		if ok && strings.ReplaceAll(table+strings.TrimSpace(name), `"`, "") == want {
			return i + 1
		}
	}
	return 0
}

// plainKey writes a key as the other errors do, without quotes around its parts.
func plainKey(key toml.Key) string { return strings.Join(key, ".") }

// meant returns the key that an unknown one was most likely meant to be, or "". In a table
// whose names the operator chooses, as s2s_domains, what is below a name is looked at.
func meant(key toml.Key) string {
	for f := range fields(reflect.TypeFor[Config]()) {
		if f.Tag.Get("toml") != key[0] || len(key) < 3 || f.Type.Kind() != reflect.Map || f.Type.Elem().Kind() != reflect.Struct {
			continue
		}
		if near := nearest(plainKey(key[2:]), keys(f.Type.Elem(), "")); near != "" {
			return plainKey(key[:2]) + "." + near
		}
		return ""
	}
	valid := keys(reflect.TypeFor[Config](), "")
	if near := nearest(plainKey(key), valid); near != "" || len(key) == 1 || slices.Contains(valid, key[0]) {
		return near
	}
	if near := nearest(key[0], valid); near != "" { // the table is wrong, and all in it
		return plainKey(append(toml.Key{near}, key[1:]...))
	}
	return ""
}

// nearest returns the valid key that a wrong one was most likely meant to be, or "".
func nearest(name string, valid []string) string {
	best, distance := "", 3+len(name)/4
	for _, v := range valid {
		d := editDistance(name, v)
		if last := v[strings.LastIndexByte(v, '.')+1:]; last == name[strings.LastIndexByte(name, '.')+1:] {
			d = min(d, 1) // right name, wrong table
		}
		if d < distance {
			best, distance = v, d
		}
	}
	return best
}

// editDistance is Levenshtein's.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
