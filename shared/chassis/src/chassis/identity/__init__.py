"""Who the caller is: tokens that are valid on both sides, the keys that verify them, and passwords.

Public: `tokens.TokenAuthentication`, `tokens.issue`, `principals.Principal`, `passwords.PBKDF2PasswordHasher`,
`hashing`, `logins.LoginForm`, `jwks`.
"""
