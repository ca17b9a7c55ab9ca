"""The leaderboard: every proxy on every question that committed score tables answer. No pages: those are analysis's."""
