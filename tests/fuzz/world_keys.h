/*
 * world_keys.h: written by make-seeds; the secret guards nothing.
 */
#ifndef WORLD_KEYS_H
#define WORLD_KEYS_H

static const char world_jwks[] =
    "{\"keys\":[{\"e\":\"AQAB\",\"kid\":\"k0\",\"kty\":\"RSA\",\"n\":\"3yd9zet4uuU-1Yqj65_f2EGwohyxNcFWxb"
    "EDS-hCO7v0AcOwiVaFDQlS-jjRhTWQ_V25niuX_aydAuVlUZPcSYT_-wNM-_4FM1xB_f3ndgyMSUx0A_70M9kz7EYrGfi7T9qwFv"
    "NQf2Hrjpii4tsPc2qJnOVdL2EbMHLf5VdCUetR_zm-A_-m7JJCB1FmlzJOfbLsLqZ47BldrFbgYhjW6GNUYpuQITczBAnHCkfOXR"
    "IFVkwsh1mlFV447fEfpUBQKRHmpqo_NSZBVutUeoxPKhi-uqW_-D2AQvl2jkOs6gkJ1CrIa6z2Sg-mseGMMsF1unbhgE3cbMG67d"
    "bzrpw80Q\"},{\"crv\":\"P-256\",\"kid\":\"k1\",\"kty\":\"EC\",\"x\":\"djzgc83aExrds9W8IPCTtI3YEUfX0t6"
    "7VbZpMw7blt4\",\"y\":\"bwHqjIEJgUMEiDechlVMfYcHKUdkNNGuDrJx-LJdi24\"},{\"crv\":\"P-384\",\"kid\":\"k"
    "2\",\"kty\":\"EC\",\"x\":\"Hwgy_UOyCpotoAOKoehK0yJpgnk-RryaXp-LlY8mUkRQou_32v_uL1yzSfQp2KL2\",\"y\":"
    "\"ujDZcOxgjrwnQL4MInuMJpqW82LHNgEk__wkNyOda38iaF7HHIOveTMI74i12Vr2\"},{\"crv\":\"P-521\",\"kid\":\"k"
    "3\",\"kty\":\"EC\",\"x\":\"AAqZuo0u301YGxFljl7opCGQ9Ed2KdC4z2DS6EyN0UXPCm7Qkfd8gduFw_KemkMMr89LbdV9v"
    "z9QyGV39DKvZLRq\",\"y\":\"AbsRdMt36sPHdQibey_nOoYu10j4N9IqUFLcQeouotFB0rDkjrGN6N3tToFwrlUFbw2KdoeJCz"
    "j-JYLwLgvjYztQ\"},{\"crv\":\"secp256k1\",\"kid\":\"k4\",\"kty\":\"EC\",\"x\":\"9D8OwahcE9rJ6q5dFi14U"
    "oZ1k53lDCN0_n1DOBUNpBQ\",\"y\":\"AnYUNtX9ScsvaOzVT2Ob55-DHO79B-mP94ULCh0pWhE\"},{\"crv\":\"Ed25519\""
    ",\"kid\":\"k5\",\"kty\":\"OKP\",\"x\":\"riydfu_Bi94u5j0NFNR3QUgINJsIDXZcRHCvIe96Zac\"},{\"crv\":\"Ed"
    "448\",\"kid\":\"k6\",\"kty\":\"OKP\",\"x\":\"LocR2Ea619c85kduPyB8E6VE8_k5OF50ERJxU4sal_hYV-xUMkO091q"
    "-rNBAySo1YojPPdex322A\"},{\"k\":\"_gc9dFAFMz3LI1y_AJe1yCJ7XDPrdYY8elGuVoB6hnWjpOZHpApPNwZJbrjdJTB5O4"
    "VnKFTiEejCV097C5-yXQ\",\"kid\":\"k7\",\"kty\":\"oct\"}]}";

static const char world_secret[] =
    "_gc9dFAFMz3LI1y_AJe1yCJ7XDPrdYY8elGuVoB6hnWjpOZHpApPNwZJbrjdJTB5O4VnKFTiEejCV097C5-yXQ"; /* base64url */

#endif
