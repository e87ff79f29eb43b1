// Begin the replica set, and make a user who may write and one who may only read. Passwords come from files.
const fs = require("fs");
const secret = (name) => fs.readFileSync(`/run/secrets/${name}`, "utf8").trim();
const admin = db.getSiblingDB("admin");
admin.auth("root", secret("root"));
try {
  rs.status();
} catch (error) {
  rs.initiate({ _id: "genmat", members: [{ _id: 0, host: "mongo:27017" }] });
}
while (!db.hello().isWritablePrimary) sleep(200);
const genmat = db.getSiblingDB("genmat");
for (const [name, role] of [["writer", "readWrite"], ["reader", "read"]]) {
  if (genmat.getUser(name) === null) {
    genmat.createUser({ user: name, pwd: secret(name), roles: [{ role: role, db: "genmat" }] });
  }
}
