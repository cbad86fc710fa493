import common from "./common.json";

const en = { common };
export type Catalogue = typeof en;
export default en;
