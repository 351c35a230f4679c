package router

import (
	"context"
	"net/http"
	"net/netip"
)

// HTTP is what a feature serves on the house's web listeners.
type HTTP struct {
	Pattern string // as http.ServeMux reads it, without a host: "PUT /upload/{slot}"
	Handler http.Handler

	// Cross are the methods that pages of other origins may use, and Send the request headers
	// that these may set beside those that every page may. The listener answers preflights and
	// names the origin; credentials that browsers keep (cookies) are never sent.
	Cross []string
	Send  []string
}

// A Visitor is who sends an HTTP request, as far as that is known without asking: the listener
// has looked through the proxies that the operator trusts.
type Visitor struct {
	Addr   netip.Addr // of the client, not of a proxy
	Secure bool       // it came by https, all the way to the house or to a trusted proxy
	Proxy  bool       // somebody else ends TLS
}

type visitorKey struct{}

// WithVisitor returns ctx with who the request is from.
func WithVisitor(ctx context.Context, v Visitor) context.Context {
	return context.WithValue(ctx, visitorKey{}, v)
}

// VisitorOf returns who a request is from; the zero Visitor if no listener of the house has
// taken it.
func VisitorOf(r *http.Request) Visitor {
	v, _ := r.Context().Value(visitorKey{}).(Visitor)
	return v
}
