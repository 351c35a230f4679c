package main

import (
	"context"
	"fmt"
	"sort"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"parley/router"
	"parley/xmpp"
)

// sessionInfo is what is shown of a session.
type sessionInfo struct {
	JID      string    `json:"jid"`
	Since    time.Time `json:"since"`
	Presence string    `json:"presence"` // unavailable, available, away, chat, dnd or xa
	Priority int8      `json:"priority"`
	Waiting  bool      `json:"waiting,omitempty"` // without a connection, to be resumed
	Conn     string    `json:"conn,omitempty"`    // the connection id in the log
	Address  string    `json:"address,omitempty"`
	TLS      string    `json:"tls,omitempty"`
	Via      string    `json:"via,omitempty"` // tcp, websocket or bosh
}

// described is what a door tells of its sessions.
type described interface {
	Describe() (conn, address, tls, via string)
}

func sessionList(_ context.Context, h *house, args arguments) (any, error) {
	list := []sessionInfo{}
	h.router.EachSession(func(_ *router.Account, res router.Resource) {
		s := sessionInfo{JID: res.JID().String(), Since: res.Since(), Presence: "unavailable", Priority: res.Priority}
		if res.Available() {
			s.Presence = "available"
			if show := res.Presence.Child("", "show").Text(); show != "" {
				s.Presence = show
			}
		}
		if d, ok := res.Session.(described); ok {
			s.Conn, s.Address, s.TLS, s.Via = d.Describe()
		}
		s.Waiting = res.Attention() == router.Gone
		list = append(list, s)
	})
	sort.Slice(list, func(i, j int) bool { return list[i].JID < list[j].JID })
	return list, nil
}

func sessionKick(_ context.Context, h *house, args arguments) (any, error) {
	want, err := xmpp.ParseJID(args["jid"])
	if err != nil || want.Local() == "" {
		return nil, fail(exitUsage, "%q is no user's address", args["jid"])
	}
	kicked := h.kick(operator, want)
	if len(kicked) == 0 {
		return nil, fail(exitNotFound, "there is no session of %s", want)
	}
	return kicked, nil
}

func sessionCommand(o *options) *cobra.Command {
	c := group("session", "See and end the sessions of clients, and what they have access with")
	c.AddCommand(&cobra.Command{
		Use: "list", Short: "List connected clients, and sessions that wait for theirs", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list []sessionInfo
			if err := o.call(cmd.Context(), "session-list", nil, &list); err != nil {
				return err
			}
			return o.print(cmd, list, func() {
				w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
				fmt.Fprintln(w, "SESSION\tPRESENCE\tPRIORITY\tSINCE\tADDRESS\tVIA\tTLS\tCONN")
				for _, s := range list {
					if s.Waiting {
						s.Address, s.Via, s.TLS, s.Conn = "(may be resumed)", "", "", ""
					}
					fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\n", s.JID, s.Presence, s.Priority,
						s.Since.Local().Format(time.DateTime), s.Address, s.Via, s.TLS, s.Conn)
				}
				w.Flush()
			})
		},
	}, &cobra.Command{
		Use: "kick ADDRESS", Short: "End one session (full address) or all of an account, and take back its tokens", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var kicked []string
			if err := o.call(cmd.Context(), "session-kick", arguments{"jid": args[0]}, &kicked); err != nil {
				return err
			}
			return o.print(cmd, kicked, func() {
				for _, jid := range kicked {
					fmt.Fprintln(cmd.OutOrStdout(), jid+" ended")
				}
			})
		},
	})
	c.AddCommand(devicesCommand(o), revokeCommand(o))
	return c
}
