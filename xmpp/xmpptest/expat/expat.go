//go:build expat

// Package expat parses with libexpat, which many other servers and clients parse with,
// so that tests can hold the scanner against it. It needs the tag expat and the library.
package expat

/*
#cgo LDFLAGS: -lexpat
#include <expat.h>
#include <stdlib.h>

typedef struct {
	XML_Parser p;
	int depth, text, n, max;
	long long *ends;
} run;

static void start(void *u, const XML_Char *name, const XML_Char **attrs) { ((run *)u)->depth++; }

static void end(void *u, const XML_Char *name) {
	run *r = u;
	if (--r->depth == 1 && r->n < r->max)
		r->ends[r->n++] = XML_GetCurrentByteIndex(r->p) + XML_GetCurrentByteCount(r->p);
}

static int parse(const char *doc, int len, long long *ends, int max, int *n, int *code) {
	run r = {XML_ParserCreateNS(NULL, '\n'), 0, 0, 0, max, ends};
	XML_SetUserData(r.p, &r);
	XML_SetElementHandler(r.p, start, end);
	int ok = XML_Parse(r.p, doc, len, 1) == XML_STATUS_OK;
	*n = r.n;
	*code = XML_GetErrorCode(r.p);
	XML_ParserFree(r.p);
	return ok;
}

static int name(const char *doc, int len) {
	XML_Parser p = XML_ParserCreate("UTF-8");
	int ok = XML_Parse(p, doc, len, 1) == XML_STATUS_OK;
	XML_ParserFree(p);
	return ok;
}
*/
import "C"

import "unsafe"

// A Result is what expat makes of a document.
type Result struct {
	OK    bool
	Ends  []int  // where each child of the root ends
	Error string // why it is not OK
}

// Parse parses a whole document.
func Parse(doc []byte) Result {
	const limit = 256
	var ends [limit]C.longlong
	var n, code C.int
	data := append(doc[:len(doc):len(doc)], 0)
	ok := C.parse((*C.char)(unsafe.Pointer(&data[0])), C.int(len(doc)), &ends[0], limit, &n, &code) != 0
	r := Result{OK: ok}
	for _, e := range ends[:n] {
		r.Ends = append(r.Ends, int(e))
	}
	if !ok {
		r.Error = C.GoString(C.XML_ErrorString(C.enum_XML_Error(code)))
	}
	return r
}

// IsName reports whether s is a name to expat, namespaces aside.
func IsName(s string) bool {
	doc := []byte("<" + s + "/>")
	return C.name((*C.char)(unsafe.Pointer(&doc[0])), C.int(len(doc))) != 0
}
