package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"parley/auth"
	"parley/router"
	"parley/xmpp"
)

// userInfo is what is shown of an account.
type userInfo struct {
	JID       string     `json:"jid"`
	Created   time.Time  `json:"created"`
	LastLogin *time.Time `json:"last_login,omitempty"`
	Disabled  bool       `json:"disabled"`
	Sessions  []string   `json:"sessions"`
	OnlyOwner []string   `json:"only_owner_of,omitempty"` // rooms; not in lists
}

// operator stands in the log for who uses the command line.
const operator = "the operator"

func userAdd(ctx context.Context, h *house, args arguments) (any, error) {
	jid, err := h.parseUser(args["jid"])
	if err != nil {
		return nil, err
	}
	acc, err := h.addUser(ctx, operator, jid, args["password"])
	if errors.Is(err, auth.ErrExists) {
		return nil, fail(exitExists, "%s exists already; to change the password: parley user passwd %s", jid, jid)
	}
	if err != nil {
		return nil, err
	}
	return h.info(acc), nil
}

func userPasswd(ctx context.Context, h *house, args arguments) (any, error) {
	return h.withUser(ctx, args, func(acc auth.Account) error {
		return h.setPassword(ctx, operator, acc.JID, args["password"], xmpp.JID{})
	})
}

func userDisable(ctx context.Context, h *house, args arguments) (any, error) {
	return h.withUser(ctx, args, func(acc auth.Account) error { return h.disableUser(ctx, operator, acc.JID) })
}

func userEnable(ctx context.Context, h *house, args arguments) (any, error) {
	return h.withUser(ctx, args, func(acc auth.Account) error { return h.enableUser(ctx, operator, acc.JID) })
}

func userDel(ctx context.Context, h *house, args arguments) (any, error) {
	return h.withUser(ctx, args, func(acc auth.Account) error { return h.removeUser(ctx, operator, acc.JID) })
}

// withUser finds the account that args name, does something with it and shows it as it
// was before.
func (h *house) withUser(ctx context.Context, args arguments, do func(auth.Account) error) (any, error) {
	jid, err := h.parseUser(args["jid"])
	if err != nil {
		return nil, err
	}
	acc, found, err := h.accounts.Get(ctx, jid)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, fail(exitNotFound, "there is no account %s", jid)
	}
	info := h.info(acc)
	if info.OnlyOwner, err = h.rooms.OnlyOwner(ctx, jid); err != nil {
		return nil, err
	}
	return info, do(acc)
}

func userShow(ctx context.Context, h *house, args arguments) (any, error) {
	return h.withUser(ctx, args, func(auth.Account) error { return nil })
}

// listPage is how many accounts are read at a time.
const listPage = 500

func userList(ctx context.Context, h *house, args arguments) (any, error) {
	domains := h.cfg.Domains
	if d := args["domain"]; d != "" {
		name, ok := domainOf(d)
		if !ok || !slices.Contains(domains, name) {
			return nil, fail(exitUsage, "%s is none of this server's domains (%s)", d, strings.Join(domains, ", "))
		}
		domains = []string{name}
	}
	list := []userInfo{}
	for _, d := range domains {
		for after := ""; ; {
			page, err := h.accounts.List(ctx, d, after, listPage)
			if err != nil {
				return nil, err
			}
			for _, acc := range page {
				list = append(list, h.info(acc))
			}
			if len(page) < listPage {
				break
			}
			after = page[len(page)-1].JID.Local()
		}
	}
	return list, nil
}

func (h *house) info(acc auth.Account) userInfo {
	u := userInfo{JID: acc.JID.String(), Created: acc.Created, Disabled: acc.Disabled, Sessions: []string{}}
	if !acc.LastLogin.IsZero() {
		u.LastLogin = &acc.LastLogin
	}
	h.router.WithAccountInMemory(acc.JID, func(a *router.Account) {
		for _, res := range a.Resources() {
			u.Sessions = append(u.Sessions, res.JID().Resource())
		}
	})
	return u
}

func userCommand(o *options) *cobra.Command {
	c := group("user", "Look after accounts, also while the server is stopped")
	c.Long = `Look after accounts, beside a running server or on the data of a stopped one.

ADDRESS is like juliet@example.org; without a domain, the first one of the configuration is
meant. A password is asked for at the terminal, or else is the first line of standard input.`
	change := func(use, short, op, done string, password bool) *cobra.Command {
		return &cobra.Command{
			Use: use + " ADDRESS", Short: short, Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				a := arguments{"jid": args[0]}
				if password {
					cfg, err := o.load()
					if err != nil {
						return err
					}
					if _, err := parseUser(args[0], cfg.Domains); err != nil {
						return err // before anybody has typed a password in vain
					}
					if a["password"], err = readPassword(cmd, args[0]); err != nil {
						return err
					}
				}
				var u userInfo
				if err := o.call(cmd.Context(), op, a, &u); err != nil {
					return err
				}
				return o.print(cmd, u, func() {
					fmt.Fprintf(cmd.OutOrStdout(), done, u.JID)
					if n := len(u.Sessions); n > 0 && op != "user-enable" {
						fmt.Fprintf(cmd.OutOrStdout(), "; sessions ended: %d", n)
					}
					fmt.Fprintln(cmd.OutOrStdout())
					if rooms := u.OnlyOwner; op == "user-del" && len(rooms) > 0 {
						fmt.Fprintf(cmd.OutOrStdout(), "rooms without an owner now: %s\nto name one: parley room affiliation ROOM ADDRESS owner\n", strings.Join(rooms, ", "))
					}
				})
			},
		}
	}
	c.AddCommand(
		change("add", "Make an account; the password is asked for, or read from standard input", "user-add", "%s added", true),
		change("passwd", "Set an account's password and end its sessions", "user-passwd", "%s has a new password", true),
		change("disable", "Refuse logins of an account and end its sessions", "user-disable", "%s disabled", false),
		change("enable", "Allow logins of an account again", "user-enable", "%s enabled", false),
		change("del", "Remove an account with everything that is kept for it", "user-del", "%s removed", false),
		userListCommand(o), userShowCommand(o))
	return c
}

func userListCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "list [DOMAIN]", Short: "List accounts", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			a := arguments{}
			if len(args) == 1 {
				a["domain"] = args[0]
			}
			var list []userInfo
			if err := o.call(cmd.Context(), "user-list", a, &list); err != nil {
				return err
			}
			return o.print(cmd, list, func() {
				for _, u := range list {
					state := ""
					if u.Disabled {
						state = "  (disabled)"
					}
					fmt.Fprintln(cmd.OutOrStdout(), u.JID+state)
				}
			})
		},
	}
}

func userShowCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "show ADDRESS", Short: "Show one account", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var u userInfo
			if err := o.call(cmd.Context(), "user-show", arguments{"jid": args[0]}, &u); err != nil {
				return err
			}
			return o.print(cmd, u, func() {
				w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
				last := "never"
				if u.LastLogin != nil {
					last = u.LastLogin.Local().Format(time.DateTime)
				}
				state := "enabled"
				if u.Disabled {
					state = "disabled"
				}
				fmt.Fprintf(w, "address\t%s\nstate\t%s\ncreated\t%s\nlast login\t%s\nsessions\t%s\n", u.JID, state,
					u.Created.Local().Format(time.DateTime), last, strings.Join(u.Sessions, ", "))
				if len(u.OnlyOwner) > 0 {
					fmt.Fprintf(w, "only owner of\t%s\n", strings.Join(u.OnlyOwner, ", "))
				}
				w.Flush()
			})
		},
	}
}
