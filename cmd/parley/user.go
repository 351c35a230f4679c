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
}

func userAdd(ctx context.Context, h *house, args arguments) (any, error) {
	jid, err := h.parseUser(args["jid"])
	if err != nil {
		return nil, err
	}
	acc, err := h.accounts.Create(ctx, jid, args["password"])
	if errors.Is(err, auth.ErrExists) {
		return nil, fail(exitExists, "%s exists already; to change the password: parley user passwd %s", jid, jid)
	}
	if err != nil {
		return nil, err
	}
	h.router.Joined(jid)
	h.log.Info("account added", "account", jid.String())
	return h.info(acc), nil
}

func userPasswd(ctx context.Context, h *house, args arguments) (any, error) {
	return h.withUser(ctx, args, func(acc auth.Account) error {
		if err := h.accounts.SetPassword(ctx, acc.JID, args["password"]); err != nil {
			return err
		}
		// An operator sets a password because the old one is lost or in the wrong hands:
		// whoever logged in with it has to show the new one.
		ended := h.endSessions(acc.JID, "reset", "the password has been changed") // RFC 6120 §4.9.3.16
		h.log.Info("password set by the operator", "account", acc.JID.String(), "sessions_ended", len(ended))
		return nil
	})
}

func userDisable(ctx context.Context, h *house, args arguments) (any, error) {
	return h.withUser(ctx, args, func(acc auth.Account) error {
		if err := h.accounts.Disable(ctx, acc.JID); err != nil {
			return err
		}
		h.router.Forget(acc.JID, xmpp.EndStream("not-authorized", "the account has been disabled"))
		h.log.Info("account disabled", "account", acc.JID.String())
		return nil
	})
}

func userEnable(ctx context.Context, h *house, args arguments) (any, error) {
	return h.withUser(ctx, args, func(acc auth.Account) error {
		if err := h.accounts.Enable(ctx, acc.JID); err != nil {
			return err
		}
		h.log.Info("account enabled", "account", acc.JID.String())
		return nil
	})
}

func userDel(ctx context.Context, h *house, args arguments) (any, error) {
	return h.withUser(ctx, args, func(acc auth.Account) error {
		if err := h.router.Leaving(ctx, acc.JID); err != nil {
			return err
		}
		if err := h.Remove(ctx, acc.JID); err != nil {
			return err
		}
		h.router.Forget(acc.JID, xmpp.EndStream("not-authorized", "the account has been removed"))
		h.log.Info("account removed", "account", acc.JID.String())
		return nil
	})
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
				w.Flush()
			})
		},
	}
}
