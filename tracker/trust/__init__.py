"""Who may announce, who we are, and whom licensing has revoked."""
