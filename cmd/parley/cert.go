package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"parley/auth"
)

// hostCerts says where the certificates of a configuration come from.
func hostCerts(cfg Config) (list []auth.HostCert) {
	for _, d := range cfg.Domains {
		files := cfg.Certificates[d]
		list = append(list, auth.HostCert{Host: d, CertFile: files.Cert, KeyFile: files.Key})
	}
	for _, d := range serviceDomains(cfg) {
		files := cfg.Certificates[d]
		list = append(list, auth.HostCert{Host: d, Names: []string{}, CertFile: files.Cert, KeyFile: files.Key, Spare: true})
	}
	for _, c := range componentRules(cfg) {
		files := cfg.Certificates[c.Domain]
		names := []string{}
		if c.Wildcard {
			names = append(names, "*."+c.Domain)
		}
		list = append(list, auth.HostCert{Host: c.Domain, Names: names, CertFile: files.Cert, KeyFile: files.Key, Spare: true})
	}
	return list
}

func certDir(cfg Config) string { return filepath.Join(cfg.Data, "certs") }

// openCerts reads the certificates of the configuration and makes those that are missing.
func openCerts(cfg Config, log *slog.Logger) (*auth.Certs, error) {
	return auth.OpenCerts(auth.CertConfig{Dir: certDir(cfg), Hosts: hostCerts(cfg), Log: log})
}

// lookAtCerts reads the certificates of the configuration and makes nothing. missing are
// the domains for which the server will make one when it starts.
func lookAtCerts(cfg Config) (list []auth.CertInfo, missing []string, err error) {
	for _, h := range hostCerts(cfg) {
		if h.CertFile == "" {
			h.CertFile = auth.OwnFile(certDir(cfg), h.Host)
			if _, err := os.Stat(h.CertFile); errors.Is(err, fs.ErrNotExist) {
				if h.Spare { // another one may be for it
					continue
				}
				missing = append(missing, h.Host)
				continue
			}
		}
		c, err := auth.OpenCerts(auth.CertConfig{Hosts: []auth.HostCert{h}})
		if err != nil {
			return nil, nil, err
		}
		list = append(list, c.Info()...)
	}
	return list, missing, nil
}

// checkFiles looks at the files that a configuration names. The notes are what a server
// would warn of.
func checkFiles(cfg Config) (notes []string, err error) {
	notes = []string{}
	if _, err := authorities("tls.client_ca", cfg.TLS.ClientCA); err != nil {
		return nil, err
	}
	if _, err := s2sRoots(cfg.S2S.CA); err != nil {
		return nil, err
	}
	list, _, err := lookAtCerts(cfg)
	for _, c := range list {
		for _, p := range c.Problems {
			notes = append(notes, fmt.Sprintf("certificate of %s: %s", c.Host, p))
		}
	}
	return notes, err
}

// authorities reads the PEM files of a key; nil where there are none.
func authorities(key string, files []string) (*x509.CertPool, error) {
	if len(files) == 0 {
		return nil, nil
	}
	pool := x509.NewCertPool()
	for _, f := range files {
		pem, err := os.ReadFile(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s: %s holds no certificate in PEM form", key, f)
		}
	}
	return pool, nil
}

// certInfo is what is shown of a certificate.
type certInfo struct {
	Domain     string    `json:"domain"`
	File       string    `json:"file"`
	Names      []string  `json:"names"`
	Key        string    `json:"key"`
	Issuer     string    `json:"issuer"`
	SelfSigned bool      `json:"self_signed"`
	NotBefore  time.Time `json:"not_before"`
	NotAfter   time.Time `json:"not_after"`
	SHA256     string    `json:"sha256"`
	Notes      []string  `json:"notes"`
}

func certCommand(o *options) *cobra.Command {
	c := group("cert", "Look at certificates")
	c.AddCommand(&cobra.Command{
		Use: "show", Short: "Show the certificate of every domain", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := o.load()
			if err != nil {
				return err
			}
			found, missing, err := lookAtCerts(cfg)
			if err != nil {
				return plainly(err)
			}
			list := []certInfo{}
			for _, i := range found {
				list = append(list, certInfo{i.Host, i.File, i.Names, i.KeyType, i.Issuer, i.SelfSigned, i.NotBefore, i.NotAfter,
					i.Fingerprint, append([]string{}, i.Problems...)})
			}
			return o.print(cmd, list, func() { printCerts(cmd, list, missing) })
		},
	})
	return c
}

func printCerts(cmd *cobra.Command, list []certInfo, missing []string) {
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
	defer w.Flush()
	for i, info := range list {
		if i > 0 {
			fmt.Fprintln(w)
		}
		by := info.Issuer
		if info.SelfSigned {
			by = "itself (self-signed)"
		}
		fmt.Fprintf(w, "domain\t%s\nfile\t%s\nnames\t%s\nkey\t%s\nissued by\t%s\nvalid\t%s to %s\nSHA-256\t%s\n",
			info.Domain, info.File, strings.Join(info.Names, ", "), info.Key, by,
			info.NotBefore.Format(time.DateOnly), info.NotAfter.Format(time.DateOnly), info.SHA256)
		for _, note := range info.Notes {
			fmt.Fprintf(w, "note\t%s\n", note)
		}
	}
	for _, d := range missing {
		fmt.Fprintf(w, "%s has no certificate yet; the server makes one when it starts\n", d)
	}
}
