package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"parley/s2s"
)

func componentList(_ context.Context, h *house, _ arguments) (any, error) {
	return h.components.Info(), nil
}

func componentCommand(o *options) *cobra.Command {
	c := group("component", "See the components, as gateways to other networks")
	c.AddCommand(&cobra.Command{
		Use: "list", Short: "List the components of the configuration, and which are connected", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list []s2s.ComponentInfo
			if err := o.call(cmd.Context(), "component-list", nil, &list); err != nil {
				return err
			}
			return o.print(cmd, list, func() { listComponents(cmd.OutOrStdout(), list) })
		},
	})
	return c
}

func listComponents(out io.Writer, list []s2s.ComponentInfo) {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	defer w.Flush()
	fmt.Fprintln(w, "COMPONENT\tCONNECTED SINCE\tADDRESS\tTLS\tIN\tOUT\tWAITING")
	for _, c := range list {
		name, since := c.Domain, "-"
		if c.Wildcard {
			name += ", *." + c.Domain
		}
		if c.Connected {
			since = c.Since.Local().Format(time.DateTime)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%d\n", name, since, orDash(c.Address), orDash(c.TLS), c.In, c.Out, c.Waiting)
	}
}
