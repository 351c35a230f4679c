package main

import (
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"parley/auth"
)

// certificates reads the certificates of the configuration. make says whether those that
// are missing are made.
func certificates(cfg Config, log *slog.Logger, make bool) (*auth.Certs, error) {
	c := auth.CertConfig{Dir: filepath.Join(cfg.Data, "certs"), Log: log}
	for _, d := range cfg.Domains {
		files := cfg.Certificates[d]
		if files.Cert == "" && !make {
			continue
		}
		c.Hosts = append(c.Hosts, auth.HostCert{Host: d, CertFile: files.Cert, KeyFile: files.Key})
	}
	if len(c.Hosts) == 0 {
		return nil, nil
	}
	return auth.OpenCerts(c)
}

// clientCAs reads the authorities of tls.client_ca; nil where there are none.
func clientCAs(files []string) (*x509.CertPool, error) {
	if len(files) == 0 {
		return nil, nil
	}
	pool := x509.NewCertPool()
	for _, f := range files {
		pem, err := os.ReadFile(f)
		if err != nil {
			return nil, fmt.Errorf("tls.client_ca: %w", err)
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls.client_ca: %s holds no certificate in PEM form", f)
		}
	}
	return pool, nil
}

func certCommand(o *options) *cobra.Command {
	c := &cobra.Command{Use: "cert", Short: "Look at certificates"}
	c.AddCommand(&cobra.Command{
		Use: "show", Short: "Show the certificate of every domain", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := o.load()
			if err != nil {
				return err
			}
			certs, err := certificates(cfg, quietLog(), true)
			if err != nil {
				return fail(exitFailed, "%v", err)
			}
			list := certs.Info()
			return o.print(cmd, list, func() {
				w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
				for i, info := range list {
					if i > 0 {
						fmt.Fprintln(w)
					}
					printCert(w, info)
				}
				w.Flush()
			})
		},
	})
	return c
}

func printCert(w *tabwriter.Writer, info auth.CertInfo) {
	by := info.Issuer
	if info.SelfSigned {
		by = "itself (self-signed)"
	}
	fmt.Fprintf(w, "domain\t%s\nfile\t%s\nnames\t%s\nkey\t%s\nissued by\t%s\nvalid\t%s to %s\nSHA-256\t%s\n",
		info.Host, info.File, strings.Join(info.Names, ", "), info.KeyType, by,
		info.NotBefore.Format(time.DateOnly), info.NotAfter.Format(time.DateOnly), info.Fingerprint)
	for _, p := range info.Problems {
		fmt.Fprintf(w, "note\t%s\n", p)
	}
}
