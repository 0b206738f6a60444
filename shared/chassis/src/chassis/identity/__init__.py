"""Who the caller is: tokens that are valid on both sides, the keys that verify them, and passwords; and accounts of
another side, by that side's sessions and tokens.

Public: `tokens.TokenAuthentication`, `tokens.issue`, `principals.Principal`, `passwords.PBKDF2PasswordHasher`,
`hashing`, `logins.LoginForm`, `jwks`, `sessions.IdentityMiddleware`, `authtokens.RemoteTokenAuthentication`,
`remote.RemoteUser`.
"""
