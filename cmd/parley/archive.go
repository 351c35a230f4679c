package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"parley/auth"
	"parley/xep/mam"
)

// retentionInfo says how long a user's messages are kept.
type retentionInfo struct {
	JID       string `json:"jid"`
	Retention string `json:"retention"` // a duration; 0s: for ever
	Own       bool   `json:"own"`       // it was said for this user
}

// archiveRetention says how long the messages of one account are kept, and tells.
func archiveRetention(ctx context.Context, h *house, args arguments) (any, error) {
	var out retentionInfo
	_, err := h.withUser(ctx, args, func(acc auth.Account) error {
		if text, given := args["retention"]; given {
			keep, err := parseRetention(text)
			if err != nil {
				return err
			}
			if err := mam.SetRetention(ctx, h.store, acc.ID, keep); err != nil {
				return err
			}
			h.log.Info("retention set", "account", acc.JID.String(), "retention", text, "by", operator)
		}
		keep, own, err := mam.Retention(ctx, h.store, acc.ID)
		if !own {
			keep = h.cfg.archiveOf(acc.JID.Domain()).Retention
		}
		out = retentionInfo{acc.JID.String(), shortDuration(keep), own}
		return err
	})
	return out, err
}

// parseRetention reads 30d, 12h, forever, or default (nil).
func parseRetention(s string) (*time.Duration, error) {
	var keep time.Duration
	switch days, isDays := strings.CutSuffix(s, "d"); {
	case s == "default":
		return nil, nil
	case s == "forever":
		return &keep, nil
	case isDays:
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return nil, errRetention(s)
		}
		keep = time.Duration(n) * 24 * time.Hour
	default:
		var err error
		if keep, err = time.ParseDuration(s); err != nil {
			return nil, errRetention(s)
		}
	}
	if keep < time.Hour {
		return nil, fail(exitUsage, "%s is less than an hour", s)
	}
	return &keep, nil
}

func errRetention(s string) error {
	return fail(exitUsage, "%q is neither a duration like 30d or 12h, nor forever, nor default", s)
}

func archiveCommand(o *options) *cobra.Command {
	c := group("archive", "Look after users' archives, also while the server is stopped")
	c.AddCommand(&cobra.Command{
		Use:   "retention ADDRESS [DURATION]",
		Short: "Tell or say how long the messages of a user are kept: 30d, 12h, forever, or default",
		Args:  cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			a := arguments{"jid": args[0]}
			if len(args) == 2 {
				a["retention"] = args[1]
			}
			var r retentionInfo
			if err := o.call(cmd.Context(), "archive-retention", a, &r); err != nil {
				return err
			}
			return o.print(cmd, r, func() {
				keep, whose := r.Retention, "as for all"
				if keep == "0s" {
					keep = "for ever"
				}
				if r.Own {
					whose = "said for this user"
				}
				fmt.Fprintf(cmd.OutOrStdout(), "messages of %s are kept %s (%s)\n", r.JID, keep, whose)
			})
		},
	})
	return c
}
