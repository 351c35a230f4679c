package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"parley/xep/upload"
	"parley/xmpp"
)

// maxFiles is how many files, or owners of files, are listed at once.
const maxFiles = 10_000

// owner reads whose files are meant: a user, or an address of somebody else who may upload.
func (h *house) owner(s string) (string, error) {
	if !strings.Contains(s, "@") && !strings.Contains(s, ".") {
		s += "@" + h.cfg.Domains[0]
	}
	j, err := xmpp.ParseJID(s)
	if err != nil || !j.IsBare() {
		return "", fail(exitUsage, "%q is nobody's address; write it as juliet@%s", s, h.cfg.Domains[0])
	}
	return j.String(), nil
}

func uploadList(ctx context.Context, h *house, args arguments) (any, error) {
	owner := ""
	if args["owner"] != "" {
		var err error
		if owner, err = h.owner(args["owner"]); err != nil {
			return nil, err
		}
	}
	return h.uploads.List(ctx, owner, maxFiles)
}

func uploadDelete(ctx context.Context, h *house, args arguments) (any, error) {
	if args["id"] != "" {
		ids := strings.Fields(args["id"])
		for i, id := range ids { // an address that somebody has reported will do
			if _, after, ok := strings.Cut(id, "/upload/"); ok {
				ids[i], _, _ = strings.Cut(after, "/")
			}
		}
		n, err := h.uploads.Delete(ctx, "", ids...)
		if err == nil && n == 0 {
			return nil, fail(exitNotFound, "there is no such file")
		}
		if err == nil {
			h.log.Info("files deleted", "files", n, "by", operator)
		}
		return n, err
	}
	owner, err := h.owner(args["owner"])
	if err != nil {
		return nil, err
	}
	n, err := h.uploads.DeleteAll(ctx, owner)
	if err == nil {
		h.log.Info("files deleted", "owner", owner, "files", n, "by", operator)
	}
	return n, err
}

func uploadUsage(ctx context.Context, h *house, _ arguments) (any, error) {
	list, err := h.uploads.Usage(ctx, maxFiles)
	if list == nil {
		list = []upload.Usage{}
	}
	return list, err
}

func uploadCommand(o *options) *cobra.Command {
	c := group("upload", "Look after the files that users have uploaded, also while the server is stopped")
	list := &cobra.Command{
		Use: "list [ADDRESS]", Short: "List files, the newest first", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := arguments{}
			if len(args) == 1 {
				in["owner"] = args[0]
			}
			var files []upload.Info
			if err := o.call(cmd.Context(), "upload-list", in, &files); err != nil {
				return err
			}
			return o.print(cmd, files, func() {
				w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
				defer w.Flush()
				fmt.Fprintln(w, "ID\tOWNER\tSIZE\tUPLOADED\tKEPT UNTIL\tTYPE\tNAME")
				for _, f := range files {
					until := "for ever"
					if f.Expires != nil {
						until = f.Expires.Format("2006-01-02 15:04")
					}
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", f.ID, f.Owner, upload.Size(f.Bytes), f.Created.Format("2006-01-02 15:04"), until, f.Type, f.Name)
				}
			})
		},
	}
	var everything string
	del := &cobra.Command{
		Use: "delete ID...", Short: "Delete files, by their ids or addresses, or all of a user",
		Args: func(_ *cobra.Command, args []string) error {
			if (len(args) == 0) == (everything == "") {
				return fmt.Errorf("ids or addresses of files are wanted, or --all-of")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var n int
			if err := o.call(cmd.Context(), "upload-delete", arguments{"id": strings.Join(args, " "), "owner": everything}, &n); err != nil {
				return err
			}
			return o.print(cmd, n, func() { fmt.Fprintf(cmd.OutOrStdout(), "deleted: %d\n", n) })
		},
	}
	del.Flags().StringVar(&everything, "all-of", "", "delete all files of this user")
	usage := &cobra.Command{
		Use: "usage", Short: "Tell who has how many files, who has most first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var use []upload.Usage
			if err := o.call(cmd.Context(), "upload-usage", nil, &use); err != nil {
				return err
			}
			return o.print(cmd, use, func() {
				w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
				defer w.Flush()
				var files, bytes int64
				fmt.Fprintln(w, "OWNER\tFILES\tSIZE")
				for _, u := range use {
					fmt.Fprintf(w, "%s\t%d\t%s\n", u.Owner, u.Files, upload.Size(u.Bytes))
					files, bytes = files+u.Files, bytes+u.Bytes
				}
				fmt.Fprintf(w, "all\t%d\t%s\n", files, upload.Size(bytes))
			})
		},
	}
	c.AddCommand(list, del, usage)
	return c
}
