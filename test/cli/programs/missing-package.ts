const name = 'a-package-that-is-not-there'
await import(name)
