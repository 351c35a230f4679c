package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"parley/muc"
	"parley/xmpp"
)

// maxLines is how many rooms are listed at once.
const maxLines = 10_000

func roomList(ctx context.Context, h *house, args arguments) (any, error) {
	domains := h.rooms.Domains()
	if d := args["domain"]; d != "" {
		name, ok := domainOf(d)
		if ok && !slices.Contains(domains, name) { // that of the users will do
			name = h.cfg.Rooms.Prefix + "." + name
		}
		if !slices.Contains(domains, name) {
			return nil, fail(exitUsage, "%s has no rooms; the domains that have some are %s", d, strings.Join(domains, ", "))
		}
		domains = []string{name}
	}
	all := []muc.Line{}
	for _, d := range domains {
		list, err := h.rooms.List(ctx, d, "", args["all"] != "", maxLines)
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
	}
	return all, nil
}

func roomShow(_ context.Context, h *house, args arguments) (any, error) {
	room, err := h.parseRoom(args["room"])
	if err != nil {
		return nil, err
	}
	in, err := h.rooms.Show(room)
	return in, roomFailed(room, err)
}

func roomCreate(ctx context.Context, h *house, args arguments) (any, error) {
	room, err := h.parseRoom(args["room"])
	if err != nil {
		return nil, err
	}
	var by xmpp.JID
	if args["owner"] != "" {
		if by, err = parseAnybody(h, args["owner"]); err != nil {
			return nil, err
		}
		if by.Local() == "" {
			return nil, fail(exitUsage, "%s is a domain; a room is owned by a user", by)
		}
		if _, found, err := h.Lookup(ctx, by); h.router.Serves(by.Domain()) && err == nil && !found {
			return nil, fail(exitNotFound, "there is no account %s", by)
		}
	}
	config, err := roomSettingsOf(args["config"])
	if err != nil {
		return nil, err
	}
	return room.String(), roomFailed(room, h.rooms.Create(room, by, config))
}

func roomConfig(_ context.Context, h *house, args arguments) (any, error) {
	room, err := h.parseRoom(args["room"])
	if err != nil {
		return nil, err
	}
	config, err := roomSettingsOf(args["config"])
	if err != nil {
		return nil, err
	}
	if err := roomFailed(room, h.rooms.Configure(room, config)); err != nil {
		return nil, err
	}
	in, err := h.rooms.Show(room)
	return in, roomFailed(room, err)
}

func roomDestroy(_ context.Context, h *house, args arguments) (any, error) {
	room, err := h.parseRoom(args["room"])
	if err != nil {
		return nil, err
	}
	var alternate xmpp.JID
	if args["alternate"] != "" {
		if alternate, err = xmpp.ParseJID(args["alternate"]); err != nil {
			return nil, fail(exitUsage, "%q is no address: %v", args["alternate"], err)
		}
	}
	return nil, roomFailed(room, h.rooms.Destroy(room, alternate, args["reason"]))
}

func roomAffiliation(_ context.Context, h *house, args arguments) (any, error) {
	room, err := h.parseRoom(args["room"])
	if err != nil {
		return nil, err
	}
	if args["who"] != "" {
		who, err := parseAnybody(h, args["who"])
		if err != nil {
			return nil, err
		}
		if err := roomFailed(room, h.rooms.Affiliate(room, who, args["affiliation"], args["reason"])); err != nil {
			return nil, err
		}
	}
	in, err := h.rooms.Show(room)
	return in.Affiliations, roomFailed(room, err)
}

// parseRoom reads the address of a room: its name alone is one of the first domain.
func (h *house) parseRoom(s string) (xmpp.JID, error) {
	if h.cfg.Rooms.Prefix == "" {
		return xmpp.JID{}, fail(exitUsage, "this server has no rooms: rooms.prefix is empty")
	}
	if !strings.Contains(s, "@") {
		s += "@" + h.cfg.Rooms.Prefix + "." + h.cfg.Domains[0]
	}
	j, err := xmpp.ParseJID(s)
	if err != nil {
		return j, fail(exitUsage, "%q is no address: %v", s, err)
	}
	if domains := h.rooms.Domains(); j.Local() == "" || !j.IsBare() || !slices.Contains(domains, j.Domain()) {
		return j, fail(exitUsage, "%q is no room's address; the domains that have rooms are %s", s, strings.Join(domains, ", "))
	}
	return j, nil
}

// parseAnybody reads the address of a user of any server, or a domain; a name alone is one of
// ours.
func parseAnybody(h *house, s string) (xmpp.JID, error) {
	if !strings.Contains(s, "@") && !strings.Contains(s, ".") && !slices.Contains(h.cfg.Domains, s) {
		s += "@" + h.cfg.Domains[0]
	}
	j, err := xmpp.ParseJID(s)
	if err != nil || !j.IsBare() {
		return j, fail(exitUsage, "%q is neither a user's address nor a domain", s)
	}
	return j, nil
}

func roomSettingsOf(s string) (m map[string]string, err error) {
	if s == "" {
		return nil, nil
	}
	err = json.Unmarshal([]byte(s), &m)
	return m, err
}

// roomFailed says what went wrong as operators want to read it.
func roomFailed(room xmpp.JID, err error) error {
	var refused *xmpp.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, muc.ErrNoRoom):
		return fail(exitNotFound, "there is no room %s", room)
	case errors.Is(err, muc.ErrRoom):
		return fail(exitExists, "there is a room %s already", room)
	case errors.As(err, &refused) && refused.Cause == nil:
		text := refused.Text
		if text == "" {
			text = refused.Condition
		}
		return fail(exitUsage, "%s", text)
	}
	return fail(exitUsage, "%v", err)
}

func roomCommand(o *options) *cobra.Command {
	c := group("room", "See and manage rooms")
	var domain, owner, reason, alternate string
	var all bool
	list := &cobra.Command{
		Use: "list", Short: "List rooms", Args: cobra.NoArgs,
		Long: "Lists the rooms that are in the public list; with --all the hidden ones, too.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			in, lines := arguments{"domain": domain}, []muc.Line{}
			if all {
				in["all"] = "yes"
			}
			if err := o.call(cmd.Context(), "room-list", in, &lines); err != nil {
				return err
			}
			return o.print(cmd, lines, func() { listRooms(cmd.OutOrStdout(), lines) })
		},
	}
	list.Flags().StringVar(&domain, "domain", "", "only the rooms of this domain")
	list.Flags().BoolVar(&all, "all", false, "hidden ones, too")
	show := &cobra.Command{
		Use: "show ROOM", Short: "Show a room: its settings, its lists, and who is in it", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.showRoom(cmd, "room-show", arguments{"room": args[0]})
		},
	}
	create := &cobra.Command{
		Use: "create ROOM [SETTING=VALUE...]", Short: "Make a room", Args: cobra.MinimumNArgs(1),
		Long: "Makes a room that is open at once:\n\n" +
			"  parley room create tea --owner juliet roomname='Tea at five' membersonly=1\n\n" +
			"The settings are those that `parley room show` has.",
		RunE: func(cmd *cobra.Command, args []string) error {
			config, err := settingsArgument(args[1:])
			if err != nil {
				return err
			}
			var room string
			if err := o.call(cmd.Context(), "room-create", arguments{"room": args[0], "owner": owner, "config": config}, &room); err != nil {
				return err
			}
			return o.print(cmd, room, func() { fmt.Fprintf(cmd.OutOrStdout(), "made %s\n", room) })
		},
	}
	create.Flags().StringVar(&owner, "owner", "", "who owns it: juliet or juliet@example.org")
	config := &cobra.Command{
		Use: "config ROOM [SETTING=VALUE...]", Short: "Show or change the settings of a room", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			config, err := settingsArgument(args[1:])
			if err != nil {
				return err
			}
			return o.showRoom(cmd, "room-config", arguments{"room": args[0], "config": config})
		},
	}
	destroy := &cobra.Command{
		Use: "destroy ROOM", Short: "End a room for good, with all that was said in it", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.call(cmd.Context(), "room-destroy", arguments{"room": args[0], "reason": reason, "alternate": alternate}, nil); err != nil {
				return err
			}
			return o.print(cmd, args[0], func() { fmt.Fprintf(cmd.OutOrStdout(), "destroyed %s\n", args[0]) })
		},
	}
	destroy.Flags().StringVar(&reason, "reason", "", "why, for those who are in it")
	destroy.Flags().StringVar(&alternate, "alternate", "", "the room to go to instead")
	var why string
	affiliation := &cobra.Command{
		Use: "affiliation ROOM [USER|DOMAIN owner|admin|member|none|outcast]", Short: "Show or change what people are to a room",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 && len(args) != 3 {
				return fmt.Errorf("a room is wanted, or a room, somebody, and what that is to be")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			in := arguments{"room": args[0], "reason": why}
			if len(args) == 3 {
				in["who"], in["affiliation"] = args[1], args[2]
			}
			var list []muc.Affiliation
			if err := o.call(cmd.Context(), "room-affiliation", in, &list); err != nil {
				return err
			}
			return o.print(cmd, list, func() { listAffiliations(cmd.OutOrStdout(), list) })
		},
	}
	affiliation.Flags().StringVar(&why, "reason", "", "why, for those who are in the room")
	c.AddCommand(list, show, create, config, affiliation, destroy)
	return c
}

// settingsArgument reads SETTING=VALUE.
func settingsArgument(args []string) (string, error) {
	if len(args) == 0 {
		return "", nil
	}
	m := map[string]string{}
	for _, a := range args {
		name, value, ok := strings.Cut(a, "=")
		if !ok {
			return "", fail(exitUsage, "%q is not of the form SETTING=VALUE", a)
		}
		m[name] = value
	}
	text, err := json.Marshal(m)
	return string(text), err
}

func (o *options) showRoom(cmd *cobra.Command, operation string, args arguments) error {
	var in muc.Info
	if err := o.call(cmd.Context(), operation, args, &in); err != nil {
		return err
	}
	return o.print(cmd, in, func() { showRoom(cmd.OutOrStdout(), in) })
}

func listRooms(out io.Writer, list []muc.Line) {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	defer w.Flush()
	fmt.Fprintln(w, "ROOM\tNAME\tLISTED\tOCCUPANTS")
	for _, r := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\n", r.Room, orDash(r.Name), yesNo(r.Public), r.Occupants)
	}
}

func showRoom(out io.Writer, in muc.Info) {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	defer w.Flush()
	fmt.Fprintf(w, "room\t%s\n", in.Room)
	if in.Locked {
		fmt.Fprintln(w, "locked\tuntil its owner has configured it")
	}
	fmt.Fprintf(w, "subject\t%s\n", orDash(in.Subject))
	for _, name := range slices.Sorted(maps.Keys(in.Config)) {
		fmt.Fprintf(w, "%s\t%s\n", name, orDash(in.Config[name]))
	}
	w.Flush()
	fmt.Fprintln(out)
	listAffiliations(out, in.Affiliations)
	if len(in.Occupants) > 0 {
		fmt.Fprintln(out)
		fmt.Fprintln(w, "OCCUPANT\tROLE\tAFFILIATION\tSESSIONS")
	}
	for _, o := range in.Occupants {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", o.Nick, o.Role, o.Affiliation, strings.Join(o.Sessions, " "))
	}
}

func listAffiliations(out io.Writer, list []muc.Affiliation) {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	defer w.Flush()
	fmt.Fprintln(w, "WHO\tAFFILIATION\tNICKNAME\tREASON")
	for _, a := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", a.Who, a.Affiliation, orDash(a.Nick), orDash(a.Reason))
	}
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
