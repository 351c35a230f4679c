package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

func webCommand(o *options) *cobra.Command {
	c := &cobra.Command{Use: "web", Short: "What browsers and other programs are told by HTTP"}
	c.AddCommand(hostMetaCommand(o))
	return c
}

func hostMetaCommand(o *options) *cobra.Command {
	var host string
	c := &cobra.Command{
		Use: "host-meta", Short: "Print the documents by which clients find WebSocket and BOSH", Args: cobra.NoArgs,
		Long: `Print what clients that cannot ask DNS, as those in browsers, look for on the web server of the
domain itself (XEP-0156). If another program is that web server, copy the documents there:

  https://DOMAIN/.well-known/host-meta       what this command prints
  https://DOMAIN/.well-known/host-meta.json  what it prints with --json

Both need the header Access-Control-Allow-Origin: *. They change with http.url, http.listen_tls,
http.websocket, http.bosh and http.addresses.`,
		Example: `  parley web host-meta --host example.org > .well-known/host-meta
  parley web host-meta --host example.org --json > .well-known/host-meta.json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := o.load()
			if err != nil {
				return err
			}
			name := cfg.Domains[0]
			if host != "" {
				var ok bool
				if name, ok = domainOf(host); !ok || !slices.Contains(cfg.Domains, name) {
					return fail(exitUsage, "%s is none of this server's domains (%s)", host, strings.Join(cfg.Domains, ", "))
				}
			}
			site := siteOf(cfg)
			if !strings.HasPrefix(site.Base(name), "https://") {
				return fail(exitFailed, "nothing is reached by https: set http.listen_tls, or http.url where a proxy ends TLS")
			}
			document := site.HostMeta
			if o.json {
				document = site.HostMetaJSON
			}
			text, err := document(name)
			if err != nil {
				return fail(exitFailed, "%v", err)
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
	c.Flags().StringVar(&host, "host", "", "the domain (the first one)")
	return c
}
