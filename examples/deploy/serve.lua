-- Options of `instant-lua serve --config`, for a server behind one proxy on the same machine.

return {
  data = "/var/lib/instant/data",
  host = "127.0.0.1",
  port = 8888,
  url = "https://db.example.com", -- what addresses of files begin with
  trustedHops = 1, -- the proxy: clients are who it says they are
  maxFileSize = "1G",
  rate = 50, -- requests a second from one address; 500 at once
  maxPerAddress = 100, -- WebSockets and event streams of one address
  log = "json",
  logLevel = "info",
  -- s3Endpoint = "https://s3.eu-central-1.amazonaws.com", -- contents of files in a bucket; its CORS rules
  -- s3Region = "eu-central-1",                             -- must let browsers GET from the apps' origins
  -- s3Bucket = "example",
  -- s3AccessKey = os.getenv "S3_ACCESS_KEY",               -- the secret one: INSTANT_S3_SECRET_KEY
  metricsToken = os.getenv "INSTANT_METRICS_TOKEN",
}
