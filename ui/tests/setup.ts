import { startLanguage } from "../src/i18n/index.ts";

await startLanguage("en", []);
