---@meta instant
--- Who is signed in: `db.auth`, `db:getAuth`, `db:subscribeAuth`, and where the user is kept. Not loaded at run time;
--- see meta.lua.

--- Where the signed-in user is kept over restarts: in the desktop's keychain (through libsecret), nowhere, or in a file
--- (AES-256-GCM) whose key comes from a passphrase (scrypt) or from a key file, which is made when it is not there. What
--- keeps it from being read is an error of type "vault"; nothing is overwritten and nobody signed out because of it.
--- What a storage knew of the user is moved there. Without this option a storage chooses (meta_storage.lua).
---@alias instant.Vault "keychain"|"memory"|{ file: string, passphrase?: string, keyFile?: string }

--- What the backend knows of a user; attributes of `$users` are there as well.
---@class instant.User
---@field id string
---@field email? string
---@field refresh_token string
---@field type? "user"|"guest"
---@field isGuest boolean
---@field imageURL? string

---@class instant.AuthState
---@field isLoading boolean
---@field user? instant.User nil: nobody is signed in

---@class instant.SignedIn
---@field user instant.User
---@field created? boolean the user was made by this

--- Every function can also be called with a dot. Errors are the backend's: {type, message, hint, status, body}.
---@class instant.Auth
local Auth = {}

--- Sends a code to an email address. The future has `{sent = true}`.
---@param params { email: string }
---@return instant.Future
function Auth:sendMagicCode(params) end

--- Signs in with the code that was sent. A guest who is signed in becomes that user. `extraFields`: attributes of
--- `$users` for a user who is made by this, as far as the rule `$users.allow.create` lets it.
---@param params { email: string, code: string, extraFields?: table }
---@return instant.Future future of an instant.SignedIn
function Auth:signInWithMagicCode(params) end

--- Signs in with a refresh token, such as `admin.auth:createToken` gives.
---@param token string
---@return instant.Future future of an instant.SignedIn
function Auth:signInWithToken(token) end

--- Signs in a new user without an email.
---@param params? { extraFields?: table }
---@return instant.Future future of an instant.SignedIn
function Auth:signInAsGuest(params) end

--- The address where a browser signs in with a provider and comes back to `redirectURL` with a code. Beyond the official
--- client: `state`, which comes back as it is, and the `codeChallenge` of `createPKCE`.
---@param params { clientName: string, redirectURL: string, extraFields?: table, state?: string, codeChallenge?: string }
---@return string url
function Auth:createAuthorizationURL(params) end

--- Signs in with the code that an authorization came back with. Beyond the official client: `extraFieldsId`, what the
--- address came back with as `_instant_extra_fields_id`, for those given to `createAuthorizationURL`.
---@param params { code: string, codeVerifier?: string, extraFields?: table, extraFieldsId?: string }
---@return instant.Future future of an instant.SignedIn
function Auth:exchangeOAuthCode(params) end

--- Signs in with an id_token of a provider.
---@param params { idToken: string, clientName: string, nonce?: string, extraFields?: table }
---@return instant.Future future of an instant.SignedIn
function Auth:signInWithIdToken(params) end

--- Where tools that discover OAuth parameters by themselves look.
---@return string url
function Auth:issuerURI() end

--- Signs out, here at once. The backend is told to forget the token unless `invalidateToken` is false.
---@param opts? { invalidateToken?: boolean }
---@return instant.Future
function Auth:signOut(opts) end

--- What proves that whoever exchanges a code is who asked for it (RFC 7636, S256). Ours.
---@return { codeVerifier: string, codeChallenge: string, codeChallengeMethod: "S256" }
function Auth:createPKCE() end

---@class instant.Db
---@field auth instant.Auth
local Db = {}

--- The future has the user who is signed in, nil for nobody.
---@return instant.Future future of an instant.User
function Db:getAuth() end

--- Calls `fn` as a task as soon as it is known who is signed in, and on every change. Returns the function that ends it.
---@param fn fun(state: instant.AuthState)
---@return fun() unsubscribe
function Db:subscribeAuth(fn) end
