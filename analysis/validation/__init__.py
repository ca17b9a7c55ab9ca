"""Why a correlation differs from a published one: experiments, and forms of proxies that only they score."""
