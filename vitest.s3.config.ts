// `npm run test:s3`: the suites that every blob store passes, once more on a second S3 server, which shares no code with the first.

process.env["WHARFINGER_TEST_S3"] = "rclone";

export { default } from "./vitest.config.ts";
