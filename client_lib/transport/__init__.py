"""TLS contexts, the licensing API over HTTPS, and credentials that renew themselves."""
