package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"parley/xep/announce"
	"parley/xmpp"
)

// announced is what came of an announcement on one domain.
type announced struct {
	Domain   string `json:"domain"`
	Accounts int    `json:"accounts"`          // who saw it at once, or has it on the way
	Removed  bool   `json:"removed,omitempty"` // there was a message of the day
}

// announcements do one announcement on one domain, by the flag that asks for it.
func announcements() map[string]func(context.Context, *house, string, announce.Text) (announced, error) {
	return map[string]func(context.Context, *house, string, announce.Text) (announced, error){
		"online": func(_ context.Context, h *house, host string, t announce.Text) (announced, error) {
			n, err := h.announcer.Online(host, t, operator)
			return announced{Domain: host, Accounts: n}, err
		},
		"all": func(ctx context.Context, h *house, host string, t announce.Text) (announced, error) {
			n, err := h.accounts.Count(ctx, host)
			if err != nil {
				return announced{}, err
			}
			disabled, err := h.accounts.Disabled(ctx, host)
			if err == nil {
				err = h.announcer.All(ctx, host, t, operator)
			}
			return announced{Domain: host, Accounts: int(n - disabled)}, err
		},
		"motd": func(ctx context.Context, h *house, host string, t announce.Text) (announced, error) {
			n, err := h.announcer.SetMOTD(ctx, host, t, operator)
			return announced{Domain: host, Accounts: n}, err
		},
		"remove-motd": func(ctx context.Context, h *house, host string, _ announce.Text) (announced, error) {
			was, err := h.announcer.RemoveMOTD(ctx, host, operator)
			return announced{Domain: host, Removed: was}, err
		},
	}
}

// announceTo is the operation behind parley announce: on one domain, or on all.
func announceTo(ctx context.Context, h *house, args arguments) (any, error) {
	do := announcements()[args["to"]]
	if do == nil {
		return nil, fail(exitUsage, "there is no announcement to %q", args["to"])
	}
	domains := h.cfg.Domains
	if d := args["domain"]; d != "" {
		name, ok := domainOf(d)
		if !ok || !slices.Contains(domains, name) {
			return nil, fail(exitUsage, "%s is none of this server's domains (%s)", d, strings.Join(domains, ", "))
		}
		domains = []string{name}
	}
	text := announce.Text{Subject: args["subject"], Body: args["text"]}
	if args["to"] != "remove-motd" {
		if err := text.Check(); err != nil {
			return nil, fail(exitUsage, "%s", reasonOf(err))
		}
	}
	list := []announced{}
	for _, d := range domains {
		a, err := do(ctx, h, d, text)
		if err != nil {
			return nil, fail(exitFailed, "%s: %s", d, reasonOf(err))
		}
		list = append(list, a)
	}
	return list, nil
}

// reasonOf is what an error says to people.
func reasonOf(err error) string {
	if e, ok := err.(*xmpp.Error); ok && e.Text != "" {
		return e.Text
	}
	return plainText(err)
}

func announceCommand(o *options) *cobra.Command {
	var host, subject string
	to := map[string]*bool{}
	c := &cobra.Command{
		Use: "announce (--online | --all | --motd | --remove-motd) [TEXT | -]", Short: "Tell something to the users",
		Long: `Tell something to the users of the running server, on one domain or on all. TEXT of - is read
from standard input.

--online reaches those who are connected and takes messages, and nobody later. --all reaches
those who are away as well, when they come. --motd sets the message of the day: everybody sees
it once, now or at the next login, until it is replaced or removed.`,
		Example: `  parley announce --online "The server restarts in five minutes."
  parley announce --all --host example.org --subject Rules - < rules.txt
  parley announce --motd "The wine is in the cellar."
  parley announce --remove-motd`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			a := arguments{"domain": host, "subject": subject}
			for name, on := range to {
				if *on {
					a["to"] = name
				}
			}
			text, err := announcedText(cmd, a["to"] == "remove-motd", args)
			if err != nil {
				return err
			}
			a["text"] = text
			var list []announced
			if err := o.call(cmd.Context(), "announce", a, &list); err != nil {
				return err
			}
			return o.print(cmd, list, func() { sayAnnounced(cmd.OutOrStdout(), a["to"], list) })
		},
	}
	f := c.Flags()
	f.StringVar(&host, "host", "", "only the users of this domain")
	f.StringVar(&subject, "subject", "", "a subject")
	var names []string
	for _, k := range []struct{ name, usage string }{
		{"online", "to those who are connected"}, {"all", "to all, also those who are away"},
		{"motd", "set the message of the day"}, {"remove-motd", "remove the message of the day"},
	} {
		to[k.name] = f.Bool(k.name, false, k.usage)
		names = append(names, k.name)
	}
	c.MarkFlagsMutuallyExclusive(names...)
	c.MarkFlagsOneRequired(names...)
	return c
}

// announcedText reads what is to be announced.
func announcedText(cmd *cobra.Command, none bool, args []string) (string, error) {
	switch {
	case none && len(args) > 0:
		return "", fail(exitUsage, "--remove-motd takes no text")
	case none:
		return "", nil
	case len(args) == 0:
		return "", fail(exitUsage, "the text is missing; - reads it from standard input")
	case args[0] != "-":
		return args[0], nil
	}
	const most = 64 << 10 // more than may be announced: what is too long is said of the text
	raw, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), most))
	if err != nil {
		return "", fail(exitFailed, "standard input: %v", err)
	}
	return strings.TrimRight(string(raw), "\r\n"), nil
}

func sayAnnounced(out io.Writer, to string, list []announced) {
	for _, a := range list {
		switch {
		case to == "online":
			fmt.Fprintf(out, "%s: users reached: %d\n", a.Domain, a.Accounts)
		case to == "all":
			fmt.Fprintf(out, "%s: on its way to %d accounts; the log says when it is through\n", a.Domain, a.Accounts)
		case to == "motd":
			fmt.Fprintf(out, "%s: shown to users online: %d; the others see it when they come\n", a.Domain, a.Accounts)
		case a.Removed:
			fmt.Fprintf(out, "%s: the message of the day is gone\n", a.Domain)
		default:
			fmt.Fprintf(out, "%s: there was no message of the day\n", a.Domain)
		}
	}
}
