package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"parley/s2s"
	"parley/xmpp"
)

// peersInfo is what is shown of other domains.
type peersInfo struct {
	Links  []s2s.LinkInfo  `json:"connections"`
	Routes []s2s.RouteInfo `json:"domains"`
}

func s2sList(_ context.Context, h *house, _ arguments) (any, error) {
	p := peersInfo{h.s2s.Links(), h.s2s.Routes()}
	for i := range p.Links {
		p.Links[i].Path = nil // there may be thousands; show tells it
	}
	return p, nil
}

func s2sShow(_ context.Context, h *house, args arguments) (any, error) {
	domain, err := otherDomain(h, args["domain"])
	if err != nil {
		return nil, err
	}
	p := peersInfo{h.s2s.Links(), h.s2s.Routes()}
	p.Links = slices.DeleteFunc(p.Links, func(l s2s.LinkInfo) bool { return l.Remote != domain })
	p.Routes = slices.DeleteFunc(p.Routes, func(r s2s.RouteInfo) bool { return r.Remote != domain })
	if len(p.Links)+len(p.Routes) == 0 {
		return nil, fail(exitNotFound, "there is nothing between this server and %s at present; `parley s2s check %s` tries it", domain, domain)
	}
	return p, nil
}

func s2sClose(_ context.Context, h *house, args arguments) (any, error) {
	domain, err := otherDomain(h, args["domain"])
	if err != nil {
		return nil, err
	}
	n, waiting := h.s2s.CloseDomain(domain)
	if n == 0 && waiting == 0 {
		return nil, fail(exitNotFound, "there is no connection with %s, and nothing waits for it", domain)
	}
	return n, nil
}

func s2sCheck(ctx context.Context, h *house, args arguments) (any, error) {
	domain, err := otherDomain(h, args["domain"])
	if err != nil {
		return nil, err
	}
	return h.s2s.Check(ctx, h.cfg.Domains[0], domain, false), nil
}

func s2sExplain(ctx context.Context, h *house, args arguments) (any, error) {
	domain, err := otherDomain(h, args["domain"])
	if err != nil {
		return nil, err
	}
	user, err := xmpp.ParseJID(args["user"])
	if err != nil || !h.router.Serves(user.Domain()) {
		return nil, fail(exitUsage, "%q is no address of this server", args["user"])
	}
	return h.s2s.Check(ctx, user.Domain(), domain, true), nil
}

// otherDomain reads the domain of another server.
func otherDomain(h *house, s string) (string, error) {
	domain, ok := domainOf(s)
	switch {
	case !ok:
		return "", fail(exitUsage, "%q is no domain", s)
	case h.router.Local(domain) || h.components.Local(domain):
		return "", fail(exitUsage, "%s is a domain of this server", domain)
	}
	return domain, nil
}

func s2sCommand(o *options) *cobra.Command {
	c := group("s2s", "See and try the connections with other servers")
	c.AddCommand(&cobra.Command{
		Use: "list", Short: "List connections, and the domains that something waits for", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var p peersInfo
			if err := o.call(cmd.Context(), "s2s-list", nil, &p); err != nil {
				return err
			}
			return o.print(cmd, p, func() { listPeers(cmd.OutOrStdout(), p) })
		},
	}, &cobra.Command{
		Use: "show DOMAIN", Short: "Show all that is between this server and a domain, with the last error and the path to it", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var p peersInfo
			if err := o.call(cmd.Context(), "s2s-show", arguments{"domain": args[0]}, &p); err != nil {
				return err
			}
			return o.print(cmd, p, func() { showPeer(cmd.OutOrStdout(), p) })
		},
	}, &cobra.Command{
		Use: "close DOMAIN", Short: "End all connections with a domain; what waits is tried again at once", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var n int
			if err := o.call(cmd.Context(), "s2s-close", arguments{"domain": args[0]}, &n); err != nil {
				return err
			}
			return o.print(cmd, n, func() { fmt.Fprintf(cmd.OutOrStdout(), "connections ended: %d; what waits is tried again now\n", n) })
		},
	}, checkCommand(o, "check DOMAIN", "Connect to a domain as if for the first time, and tell each step", `Looks the domain up in DNS, connects, begins TLS, judges the certificate, proves who we are, and
closes the connection. What goes wrong is said in plain words. Nothing is sent to anybody.`, 1),
		checkCommand(o, "explain USER DOMAIN", "Say which rule and which proof apply between a user of ours and a domain", `Says which rule of the configuration applies to the domain, connects to it, and says by which proof
it would be believed: its certificate (pkix), signed DNS (dane), its web server (posh), or dialback.`, 2))
	return c
}

func checkCommand(o *options, use, short, long string, n int) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Long: long, Args: cobra.ExactArgs(n),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, in := "s2s-check", arguments{"domain": args[0]}
			if n == 2 {
				name, in = "s2s-explain", arguments{"user": args[0], "domain": args[1]}
			}
			var c s2s.Check
			if err := o.call(cmd.Context(), name, in, &c); err != nil {
				return err
			}
			if err := o.print(cmd, c, func() { showCheck(cmd.OutOrStdout(), c, n == 2) }); err != nil {
				return err
			}
			if c.Error != "" {
				return fail(exitFailed, "%s cannot be reached: %s", c.Domain, c.Error)
			}
			return nil
		},
	}
}

func listPeers(out io.Writer, p peersInfo) {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "DOMAIN\tHOST\tDIRECTION\tSINCE\tTLS\tPROOF\tIN\tOUT\tWAITING\tADDRESS\tLINK")
	for _, l := range p.Links {
		direction := l.Direction
		if l.Both {
			direction += ", both ways"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%s\t%s\n", orDash(l.Remote), orDash(l.Local), direction,
			l.Since.Local().Format(time.DateTime), orDash(l.TLS), orDash(proofs(l)), l.In, l.Out, l.Waiting, l.Address, l.ID)
	}
	w.Flush()
	waiting := slices.DeleteFunc(slices.Clone(p.Routes), func(r s2s.RouteInfo) bool { return r.Waiting == 0 && r.Error == "" })
	if len(waiting) == 0 {
		return
	}
	fmt.Fprintln(out)
	w = tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "NOT REACHED\tFROM\tWAITING\tTRIED AGAIN\tREASON")
	for _, r := range waiting {
		next := "-"
		if !r.Next.IsZero() {
			next = r.Next.Local().Format(time.TimeOnly)
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\n", r.Remote, r.Local, r.Waiting, next, reason(r))
	}
	w.Flush()
}

// reason is why something waits, also where no attempt has failed.
func reason(r s2s.RouteInfo) string {
	switch {
	case r.Error != "":
		return r.Error
	case r.State == "connected":
		return "it is connected, and has not taken this yet"
	case r.State == "connecting":
		return "it is being connected to"
	}
	return "the connection was lost; the other server may go on with it"
}

// proofs is by what the two sides of a stream have believed each other.
func proofs(l s2s.LinkInfo) string {
	all := map[string]bool{}
	for _, m := range []map[string]string{l.Receives, l.Sends} {
		for _, proof := range m {
			all[proof] = true
		}
	}
	text := ""
	for _, proof := range slices.Sorted(maps.Keys(all)) {
		if text != "" {
			text += ", "
		}
		text += proof
	}
	return text
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func showPeer(out io.Writer, p peersInfo) {
	listPeers(out, p)
	for _, l := range p.Links {
		for _, may := range []struct {
			what string
			m    map[string]string
		}{{"receives", l.Receives}, {"sends", l.Sends}} {
			for _, pair := range slices.Sorted(maps.Keys(may.m)) {
				fmt.Fprintf(out, "%s %s %s (%s)\n", l.ID, may.what, pair, may.m[pair])
			}
		}
		showSteps(out, l.Path)
	}
	for _, r := range p.Routes {
		fmt.Fprintf(out, "\n%s -> %s: %s, %d waiting (%d bytes)\n", r.Local, r.Remote, r.State, r.Waiting, r.Bytes)
		if r.Error != "" {
			fmt.Fprintf(out, "%d failed attempts in a row; the last, at %s: %s\n", r.Fails, r.At.Local().Format(time.DateTime), r.Error)
			showSteps(out, r.Path)
		}
	}
}

func showSteps(out io.Writer, steps []s2s.Step) {
	for i, s := range steps {
		if i > 0 && steps[i-1].Stage == s.Stage && steps[i-1].Text == s.Text { // it was looked at twice
			continue
		}
		sign := "  "
		if s.Failed {
			sign = "x "
		}
		fmt.Fprintf(out, "%s%-12s %s\n", sign, s.Stage, s.Text)
	}
}

func showCheck(out io.Writer, c s2s.Check, explain bool) {
	fmt.Fprintf(out, "rule: %s\n", c.Rule)
	showSteps(out, c.Path)
	if c.Error != "" {
		return
	}
	fmt.Fprintf(out, "%s is believed by: %s\n", c.Domain, c.Proof)
	if c.Reason != "" {
		fmt.Fprintf(out, "its certificate: %s\n", c.Reason)
	}
	if !explain {
		fmt.Fprintf(out, "it believes us by: %s\n", c.Ours)
	}
}
