"""`hie bench`: what the exchange does on this machine, beside what the raw driver does with the same documents."""
