"""An album on the customer's disk: its folder and names, room for it, what is there and whole."""
