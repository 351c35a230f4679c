package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"parley/auth"
	"parley/xep/devices"
	"parley/xmpp"
)

// clients is the house as the list of devices has it. It implements devices.Accounts.
type clients struct{ *house }

// Devices implements devices.Accounts.
func (h clients) Devices(ctx context.Context, account int64) ([]devices.Device, error) {
	list, err := h.accounts.Devices(ctx, account)
	out := make([]devices.Device, 0, len(list))
	for _, d := range list {
		out = append(out, devices.Device{
			ID: d.ID, Agent: d.Agent, FirstSeen: d.FirstSeen, LastSeen: d.LastSeen,
			Password: d.Password, Certificate: d.Certificate, Token: d.Token,
		})
	}
	return out, err
}

// RevokeDevice implements devices.Accounts.
func (h clients) RevokeDevice(ctx context.Context, account int64, id string) error {
	_, err := h.accounts.RevokeDevice(ctx, account, id)
	if errors.Is(err, auth.ErrNoDevice) {
		return xmpp.Refuse("item-not-found", "")
	}
	return err
}

// TidyDevices implements devices.Accounts.
func (h clients) TidyDevices(ctx context.Context) error { return h.accounts.TidyDevices(ctx) }

// devicePolicy is what the configuration says of devices; there, nothing is written as 0.
func devicePolicy(cfg Config) auth.DevicePolicy {
	p := auth.DevicePolicy{Lifetime: cfg.Auth.TokenLife.Duration, Remember: cfg.Auth.RememberFor.Duration, Most: cfg.Auth.Devices}
	if p.Lifetime == 0 {
		p.Lifetime = -1
	}
	if p.Remember == 0 {
		p.Remember = -1
	}
	return p
}

// deviceInfo is what is shown of a client that has access to an account.
type deviceInfo struct {
	ID        string    `json:"id"`
	Software  string    `json:"software,omitempty"`
	Device    string    `json:"device,omitempty"`
	FirstSeen time.Time `json:"first_seen"`
	LastSeen  time.Time `json:"last_seen"`
	Access    []string  `json:"access"` // password, certificate, token
	Sessions  []string  `json:"sessions"`
}

func describeDevice(d devices.Device) deviceInfo {
	info := deviceInfo{
		ID: d.ID, Software: d.Agent.Software, Device: d.Agent.Device, FirstSeen: d.FirstSeen, LastSeen: d.LastSeen,
		Access: []string{}, Sessions: append([]string{}, d.Sessions...),
	}
	for _, by := range []struct {
		has  bool
		name string
	}{{d.Password, "password"}, {d.Certificate, "certificate"}, {d.Token, "token"}} {
		if by.has {
			info.Access = append(info.Access, by.name)
		}
	}
	return info
}

func deviceList(ctx context.Context, h *house, args arguments) (any, error) {
	out := []deviceInfo{}
	_, err := h.withUser(ctx, args, func(acc auth.Account) error {
		list, err := devices.List(ctx, h.router, clients{h}, acc.ID, acc.JID)
		for _, d := range list {
			out = append(out, describeDevice(d))
		}
		return err
	})
	return out, err
}

// revoked is what came of taking access away.
type revoked struct {
	Devices []deviceInfo `json:"devices"`
	Ended   int          `json:"sessions_ended"`
}

// deviceRevoke forgets one device of an account or all, with its tokens, and ends its
// sessions. An operator may do that also where the device knows the password.
func deviceRevoke(ctx context.Context, h *house, args arguments) (any, error) {
	out := revoked{Devices: []deviceInfo{}}
	_, err := h.withUser(ctx, args, func(acc auth.Account) error {
		list, err := devices.List(ctx, h.router, clients{h}, acc.ID, acc.JID)
		if err != nil {
			return err
		}
		for _, d := range list {
			if args["id"] != "" && args["id"] != d.ID {
				continue
			}
			if err := (clients{h}).RevokeDevice(ctx, acc.ID, d.ID); d.Remembered && err != nil {
				return err
			}
			out.Devices = append(out.Devices, describeDevice(d))
			out.Ended += devices.End(h.router, acc.JID, d, xmpp.JID{})
		}
		if len(out.Devices) == 0 {
			return fail(exitNotFound, "%s has no such device; see: parley session devices %s", acc.JID, acc.JID)
		}
		h.log.Info("devices revoked", "account", acc.JID.String(), "devices", len(out.Devices), "sessions_ended", out.Ended, "by", operator)
		return nil
	})
	return out, err
}

func devicesCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "devices ADDRESS", Short: "List the clients that have access to an account", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var list []deviceInfo
			if err := o.call(cmd.Context(), "device-list", arguments{"jid": args[0]}, &list); err != nil {
				return err
			}
			return o.print(cmd, list, func() {
				w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
				fmt.Fprintln(w, "ID\tSOFTWARE\tDEVICE\tFIRST SEEN\tLAST SEEN\tACCESS\tSESSIONS")
				for _, d := range list {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", d.ID, d.Software, d.Device,
						d.FirstSeen.Local().Format(time.DateTime), d.LastSeen.Local().Format(time.DateTime),
						strings.Join(d.Access, ","), strings.Join(d.Sessions, ","))
				}
				w.Flush()
			})
		},
	}
}

func revokeCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "revoke ADDRESS [ID]", Short: "Take access away from one device of an account, or all: its tokens and sessions", Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			a := arguments{"jid": args[0]}
			if len(args) == 2 {
				a["id"] = args[1]
			}
			var out revoked
			if err := o.call(cmd.Context(), "device-revoke", a, &out); err != nil {
				return err
			}
			return o.print(cmd, out, func() { printRevoked(cmd, args[0], out) })
		},
	}
}

// printRevoked also says where that is not enough.
func printRevoked(cmd *cobra.Command, who string, out revoked) {
	password := false
	for _, d := range out.Devices {
		fmt.Fprintln(cmd.OutOrStdout(), strings.TrimSpace(d.ID+" "+d.Software+" "+d.Device)+" revoked")
		for _, by := range d.Access {
			password = password || by == "password"
		}
	}
	fmt.Fprintf(cmd.OutOrStdout(), "sessions ended: %d\n", out.Ended)
	if password {
		fmt.Fprintf(cmd.OutOrStdout(), "what knows the password can come again; to change it: parley user passwd %s\n", who)
	}
}
