#!/bin/sh
# Keys of this machine's own for the demo: made at random on the first start, kept in volumes, read by the
# programs through CF_..._FILE. So the repository holds no secret that could reach production.
# A value given in the environment (.env) wins and is kept from then on.
set -eu
umask 077

random() { head -c 32 /dev/urandom | base64 -w 0; }

# keep FILE GIVEN GENERATED: moved into place whole, so that a file that is there is complete
keep() {
    if [ -z "$2" ] && [ -s "$1" ]; then return; fi
    printf '%s' "${2:-$3}" >"$1.new"
    mv "$1.new" "$1"
}

keep /keys/master-keys "${CF_MASTER_KEYS:-}" "demo=$(random)"
keep /keys/claim-pepper "${CF_CLAIM_PEPPER:-}" "$(random)"
# an earlier release kept it with the master keys, which its other reader must not see
keep /delivery-token/token "${CF_DELIVERY_TOKEN:-}" "$(cat /keys/delivery-token 2>/dev/null || random)"
rm -f /keys/delivery-token
keep /lookup-key/key "${CF_LOOKUP_KEY:-}" "$(random)"
keep /feed-token/token "${CF_FEED_TOKEN:-}" "$(random)"
keep /operator-token/token "${CF_OPERATOR_TOKEN:-}" "$(random)"
keep /webhook-key/key "${CF_WEBHOOK_KEY:-}" "$(random)"
