"""HTTP: routes by subject. The only folder that knows aiohttp."""
