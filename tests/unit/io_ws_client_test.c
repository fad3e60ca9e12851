/*
 * The WebSocket client against a server played by hand, on the same thread: the rows of
 * websocket.md that concern a client, whole and byte by byte. What libwebsockets leaves open (its
 * section 15) is named where it is.
 */
#include "io_ws_peer.h"

/* ---- 1.2: the handshake ---- */

static void what_we_ask(void **state) {
    struct world *w = *state;
    char keys[3][128], value[128], host[64];
    for (int i = 0; i < 3; i++) {
        connect_client(w, "/a/b?c=d&e=%20#fragment");
        accept_client(w);
        const char *head = read_request(w);
        assert_int_equal(strncmp(head, "GET /a/b?c=d&e=%20 HTTP/1.1\r\n", 29), 0);
        find_field(head, "Host", value);
        snprintf(host, sizeof host, "127.0.0.1:%d", w->port);
        assert_string_equal(value, host);
        find_field(head, "Upgrade", value);
        assert_string_equal(value, "websocket");
        find_field(head, "Connection", value);
        assert_non_null(strcasestr(value, "upgrade"));
        find_field(head, "Sec-WebSocket-Version", value);
        assert_string_equal(value, "13");
        find_field(head, "Sec-WebSocket-Key", keys[i]);
        assert_int_equal(strlen(keys[i]), 24);
        assert_null(strcasestr(head, "Sec-WebSocket-Protocol"));
        assert_null(strcasestr(head, "Sec-WebSocket-Extensions"));
        assert_null(strcasestr(head, "Content-Length"));
        end_connection(w);
    }
    assert_string_not_equal(keys[0], keys[1]);
    assert_string_not_equal(keys[1], keys[2]);
}

/* What the server answers; %s is the right accept value. */
static void try_answer(struct world *w, const char *form, bool opens) {
    char key[128], accept[64], head[20000];
    connect_client(w, "/");
    accept_client(w);
    find_field(read_request(w), "Sec-WebSocket-Key", key);
    accept_value(key, accept);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(head, sizeof head, form, accept);
#pragma GCC diagnostic pop
    send_text(w, head);
    if (opens) {
        TURN_UNTIL(w, w->opened || w->closed);
        if (!w->opened)
            fail_msg("not opened (%s) by %s", w->why, form);
    } else {
        TURN_UNTIL(w, w->closed);
        if (w->opened)
            fail_msg("opened by %s", form);
        assert_int_equal(w->closed, 1);
        assert_true(w->why[0] != '\0');
        assert_int_equal(w->messages, 0);
    }
    end_connection(w);
}

#define TOP "HTTP/1.1 101 Switching Protocols\r\n"

static void answers_that_open(void **state) {
    struct world *w = *state;
    static const char *const answers[] = {
        TOP "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
        TOP "SEC-WEBSOCKET-ACCEPT:%s\r\nconnection: upgrade\r\nupgrade: WebSocket\r\n\r\n",
        TOP "Server: x\r\nUpgrade:  websocket\r\nConnection:   Upgrade  \r\n"
            "Sec-WebSocket-Accept:   %s\r\nX-Other: y\r\n\r\n",
        "HTTP/1.1 101 \r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: %s\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++)
        try_answer(w, answers[i], true);
}

static void answers_that_do_not(void **state) {
    struct world *w = *state;
    static const char *const answers[] = {
        TOP "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        TOP "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: \r\n\r\n",
        TOP "Upgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        TOP "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
        TOP "Upgrade: h2c\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
        TOP "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n"
            "Sec-WebSocket-Protocol: other\r\n\r\n",
        TOP "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n"
            "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 301 Moved\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 307 Moved\r\nLocation: ws://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 403 No\r\n\r\n",
        "HTTP/1.1 404 No\r\nContent-Length: 5\r\n\r\n12345",
        "HTTP/1.1 426 Upgrade\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 502 Bad\r\nConnection: close\r\n\r\n<html>",
        "HTTP/1.1 503 No\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n",
        "SSH-2.0-OpenSSH_9\r\n\r\n",
        "\x15\x03\x01\x00\x02\x02\x28",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\r\n\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++)
        try_answer(w, answers[i], false);
}

static void endless_headers(void **state) {
    struct world *w = *state;
    static char line[17000], many[17000];
    memset(line, 'x', sizeof line - 1);
    memcpy(line, TOP "X: ", 37);
    strcpy(many, TOP);
    while (strlen(many) < sizeof many - 20)
        strcat(many, "X-Y: z\r\n");
    try_answer(w, line, false);
    try_answer(w, many, false);
}

/* Nothing, or half an answer, is given up after the open limit. */
static void silent_servers(void **state) {
    struct world *w = *state;
    for (int half = 0; half < 2; half++) {
        connect_client(w, "/");
        accept_client(w);
        read_request(w);
        if (half)
            send_text(w, TOP "Upgrade: web");
        int64_t started = now(w);
        TURN_UNTIL(w, w->closed);
        assert_true(now(w) - started < OPEN_MS + 2000);
        assert_int_equal(w->opened, 0);
        assert_non_null(strstr(w->why, "in time"));
        end_connection(w);
    }
}

static void cut_handshakes(void **state) {
    struct world *w = *state;
    for (int kind = 0; kind < 3; kind++) {
        connect_client(w, "/");
        accept_client(w);
        if (kind > 0)
            read_request(w);
        struct linger reset = {.l_onoff = 1, .l_linger = 0};
        if (kind == 2)
            setsockopt(w->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(w->fd);
        w->fd = -1;
        TURN_UNTIL(w, w->closed);
        assert_int_equal(w->opened, 0);
        end_connection(w);
    }
}

static void refused_connections(void **state) {
    struct world *w = *state;
    close(w->listener);
    connect_client(w, "/");
    TURN_UNTIL(w, w->closed);
    assert_int_equal(w->opened, 0);
    assert_non_null(strstr(w->why, "127.0.0.1"));
    w->listener = socket(AF_INET, SOCK_STREAM, 0);
}

static void byte_by_byte_with_frames_behind(void **state) {
    struct world *w = *state;
    for (size_t piece = 0; piece < 2; piece++) {
        struct bytes frames = {.len = 0};
        build(&frames, "t:one p:x t:two");
        connect_client(w, "/");
        accept_client(w);
        answer_handshake(w, piece, frames.data, frames.len);
        TURN_UNTIL(w, w->messages == 2);
        assert_int_equal(w->opened, 1);
        assert_string_equal(w->seen, "[one][two]");
        end_connection(w);
    }
}

/* 1.2.18, and that nothing comes afterwards. */
static void closed_while_connecting(void **state) {
    struct world *w = *state;
    for (int stage = 0; stage < 3; stage++) {
        connect_client(w, "/");
        if (stage > 0)
            accept_client(w);
        if (stage > 1)
            read_request(w);
        w->transport->ops->close(w->transport);
        w->transport = NULL;
        if (stage == 0)
            for (int i = 0; i < 20; i++)
                inst_loop_step(w->loop);
        else
            TURN_UNTIL(w, w->is_eof);
        assert_int_equal(w->opened + w->closed, 0);
        end_connection(w);
    }
}

/* ---- 2 to 5: frames ---- */

static void frames(void **state) {
    static const struct row rows[] = {
        {"t:Hello,world!", "[Hello,world!]", "", 0, false},
        {"t:", "[]", "", 0, false},
        {"t:a b:binary t:c", "[a][c]", "", 0, false}, /* binary means nothing (14.9) */
        {"b:\xfe\xff", "", "", 0, false},
        /* 2.26, 2.27: lengths that cannot be; libwebsockets shows them with its buffer's first fill
         */
        {"h:817F8000000000000000", "", "", 1009, false},
        {"h:817F7FFFFFFFFFFFFFFF x:40000", "", "", 1009, false},
        {"h:817F4000000000000000 x:40000", "", "", 1009, false},
        {"h:817F0000000100000005 x:40000", "", "", 1009, false},
        /* 9.56: one byte more than the limit, announced */
        {"h:817F0000000002000001 x:40000", "", "", 1009, false},
        /* 3: pings and pongs */
        {"p:", "", "()", 0, false},
        {"p:Hello,world!", "", "(Hello,world!)", 0, false},
        {"o: o:x", "", "", 0, false},
        {"o:x p:p", "", "(p)", 0, false},
        {"p:1 t:a p:2 t:b", "[a][b]", "(1)(2)", 0, true},
        {"h:897E007E", "", "", 1002, false}, /* a ping of 126 bytes */
        {"h:8A7E007E", "", "", 1002, false},
        /* 4: reserved bits and opcodes */
        {"h:C10161", "", "", 1002, false},
        {"t:a h:A10162 p:p", "[a]", "", 1002, false},
        {"t:a h:B10162 p:p", "[a]", "", 1002, false},
        {"t:a h:910162 p:p", "[a]", "", 1002, false},
        {"h:D20161", "", "", 1002, false},
        {"h:E90170", "", "", 1002, false},
        {"h:C90170", "", "", 1002, false},
        {"h:9A0170", "", "", 1002, false},
        {"T:a h:C00162", "", "", 1002, false},
        {"h:8300", "", "", 1002, false},
        {"h:840161", "", "", 1002, false},
        {"t:a h:8500 p:p", "[a]", "", 1002, false},
        {"t:a h:870161 p:p", "[a]", "", 1002, false},
        {"h:8B00", "", "", 1002, false},
        {"h:8C0161", "", "", 1002, false},
        {"t:a h:8D00 p:p", "[a]", "", 1002, false},
        {"t:a h:8F0161 p:p", "[a]", "", 1002, false},
        {"T:a h:8300", "", "", 1002, false},
        {"T:a h:0300", "", "", 1002, false},
        /* 5: fragments */
        {"h:090161 F:b", "", "", 1002, false}, /* a ping in two pieces */
        {"h:0A0161 F:b", "", "", 1002, false},
        {"T:fragment1 F:fragment2", "[fragment1fragment2]", "", 0, false},
        {"T:a p:p F:b", "[ab]", "(p)", 0, false},
        {"F:a t:b", "", "", 1002, false},
        {"C:a t:b", "", "", 1002, false},
        {"T:a F:b C:c t:d", "[ab]", "", 1002, false},
        {"T:a t:b", "", "", 1002, false},
        {"T:a b:b", "", "", 1002, false},
        {"T:1 C:2 p:x C:3 C:4 p:y F:5", "[12345]", "(x)(y)", 0, true},
        {"T: C: F:", "[]", "", 0, false},
        {"T: C:x F:", "[x]", "", 0, false},
        {"T:x o:o p:p F:y", "[xy]", "(p)", 0, false},
        {"T:x c:1000 F:y", "", "", -1, false},
    };
    CHECK_ROWS(*state, rows);
}

static void check_lengths(struct world *w, int first) {
    static const size_t lengths[] = {0, 1, 125, 126, 127, 128, 65534, 65535, 65536, 65537};
    static struct bytes bytes;
    static char payload[65537];
    memset(payload, 'x', sizeof payload);
    open_connection(w);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        bytes.len = 0;
        add_frame(&bytes, first, payload, lengths[i]);
        w->seen_len = w->messages = 0;
        w->seen[0] = '\0';
        send_pieces(w, bytes.data, bytes.len, i % 2 ? 997 : 0);
        struct bytes last = {.len = 0};
        add_frame(&last, 0x81, "end", 3);
        send_pieces(w, last.data, last.len, 0);
        TURN_UNTIL(w, strstr(w->seen, "[end]") != NULL);
        assert_int_equal(w->messages, first == 0x81 ? 2 : 1);
        assert_int_equal(w->seen_len, (first == 0x81 ? lengths[i] + 2 : 0) + 5);
    }
    assert_int_equal(w->closed, 0);
    end_connection(w);
}

static void lengths(void **state) {
    check_lengths(*state, 0x81);
    check_lengths(*state, 0x82);
}

static void many_at_once(void **state) {
    struct world *w = *state;
    static struct bytes bytes;
    bytes.len = 0;
    for (int i = 0; i < 1000; i++) {
        char text[8];
        int n = snprintf(text, sizeof text, "%d", i);
        add_frame(&bytes, 0x81, text, (size_t)n);
    }
    open_connection(w);
    send_pieces(w, bytes.data, bytes.len, 0);
    TURN_UNTIL(w, w->messages == 1000);
    assert_memory_equal(w->seen, "[0][1][2][3]", 12);
    assert_memory_equal(w->seen + w->seen_len - 5, "[999]", 5);
    end_connection(w);
}

/* 5.17, 5.22: many fragments make one message. */
static void many_fragments(void **state) {
    struct world *w = *state;
    static struct bytes bytes;
    bytes.len = 0;
    add_frame(&bytes, 0x01, "x", 1);
    for (int i = 0; i < 10000; i++)
        add_frame(&bytes, 0x00, i % 100 ? "" : "y", i % 100 ? 0 : 1);
    add_frame(&bytes, 0x80, "z", 1);
    open_connection(w);
    send_pieces(w, bytes.data, bytes.len, 0);
    TURN_UNTIL(w, w->messages == 1);
    assert_int_equal(w->seen_len, 104);
    end_connection(w);
}

/* 9.57: fragments that pass the limit together. */
static void too_large_together(void **state) {
    struct world *w = *state;
    static struct bytes bytes;
    static char piece[900000];
    bytes.len = 0;
    add_frame(&bytes, 0x00, piece, sizeof piece);
    bytes.data[0] = 0x02; /* a binary message is counted too */
    open_connection(w);
    for (int i = 0; i < 40 && !w->closed; i++) {
        send_pieces(w, bytes.data, bytes.len, 0);
        bytes.data[0] = 0x00;
    }
    TURN_UNTIL(w, w->closed);
    assert_int_equal(w->messages, 0);
    assert_non_null(strstr(w->why, "too large"));
    end_connection(w);
}

/* ---- 6: UTF-8 ---- */

static const char *const good_utf8[] = {"61247A",
                                        "61C2A27A",
                                        "61E282AC7A",
                                        "61F0A4ADA27A",
                                        "CEBACF8CCF83CEBCCEB5",
                                        "CEBA",
                                        "CEBAE1BDB9",
                                        "CEBAE1BDB9CF83",
                                        "CEBAE1BDB9CF83CEBC",
                                        "CEBAE1BDB9CF83CEBCCEB5",
                                        "00",
                                        "C280",
                                        "E0A080",
                                        "F0908080",
                                        "7F",
                                        "DFBF",
                                        "EFBFBF",
                                        "F48FBFBF",
                                        "ED9FBF",
                                        "EE8080",
                                        "EFBFBD",
                                        "F48FBFBF",
                                        "EFBFBE",
                                        "EFBFBF",
                                        "EFB790",
                                        "EFB7AF",
                                        "F09FBFBE",
                                        "F09FBFBF",
                                        "F0AFBFBE",
                                        "F0AFBFBF",
                                        "F0BFBFBE",
                                        "F0BFBFBF",
                                        "F18FBFBE",
                                        "F18FBFBF",
                                        "F19FBFBE",
                                        "F19FBFBF",
                                        "F1AFBFBE",
                                        "F1AFBFBF",
                                        "F1BFBFBE",
                                        "F1BFBFBF",
                                        "F28FBFBE",
                                        "F28FBFBF",
                                        "F29FBFBE",
                                        "F29FBFBF",
                                        "F2AFBFBE",
                                        "F2AFBFBF",
                                        "F2BFBFBE",
                                        "F2BFBFBF",
                                        "F38FBFBE",
                                        "F38FBFBF",
                                        "F39FBFBE",
                                        "F39FBFBF",
                                        "F3AFBFBE",
                                        "F3AFBFBF",
                                        "F3BFBFBE",
                                        "F3BFBFBF",
                                        "F48FBFBE",
                                        "F48FBFBF",
                                        "EFBFB9",
                                        "EFBFBA",
                                        "EFBFBB",
                                        "EFBFBC",
                                        "EFBFBD",
                                        "EFBBBF",
                                        "EFBBBF61",
                                        "61EFBBBF"};
static const char *const bad_utf8[] = {
    "CE",
    "CEBAE1",
    "CEBAE1BD",
    "CEBAE1BDB9CF",
    "CEBAE1BDB9CF83CE",
    "CEBAE1BDB9CF83CEBCCE",
    "F888808080",
    "FBBFBFBFBF",
    "FC8480808080",
    "FDBFBFBFBFBF",
    "F7BFBFBF",
    "F4908080",
    "F5808080",
    "F4908080",
    "80",
    "BF",
    "80BF",
    "80BF80",
    "80BF80BF",
    "80BF80BF80",
    "80BF80BF80BF",
    "C0",
    "E080",
    "F08080",
    "F8808080",
    "FC80808080",
    "DF",
    "EFBF",
    "F7BFBF",
    "FBBFBFBF",
    "FDBFBFBFBF",
    "C2",
    "E0A0",
    "EDA0",
    "F09080",
    "F48FBF",
    "C0E080F08080F8808080FC80808080DFEFBFF7BFBFFBBFBFBFFDBFBFBFBF",
    "C2C280",
    "E0A0E0A080",
    "FE",
    "FF",
    "FEFEFFFF",
    "C0",
    "C1",
    "F5",
    "F8",
    "C0AF",
    "E080AF",
    "F08080AF",
    "F8808080AF",
    "FC80808080AF",
    "C1BF",
    "E09FBF",
    "F08FBFBF",
    "F887BFBFBF",
    "FC83BFBFBFBF",
    "C080",
    "E08080",
    "F0808080",
    "F880808080",
    "FC8080808080",
    "EDA080",
    "EDADBF",
    "EDAE80",
    "EDAFBF",
    "EDB080",
    "EDBE80",
    "EDBFBF",
    "EDA080EDB080",
    "EDA080EDBFBF",
    "EDADBFEDB080",
    "EDADBFEDBFBF",
    "EDAE80EDB080",
    "EDAE80EDBFBF",
    "EDAFBFEDB080",
    "EDAFBFEDBFBF",
    "808182838485868788898A8B8C8D8E8F909192939495969798999A9B9C9D9E9FA0A1A2A3A4A5A6A7A8A9AAABACADAE"
    "AFB0B1B2B3B4B5B6B7B8B9BABBBCBDBEBF"};

static void check_utf8(struct world *w, const char *hex, bool is_good) {
    struct bytes text = {.len = 0}, frame = {.len = 0};
    add_hex(&text, hex);
    for (int kind = 0; kind < 2; kind++) {
        frame.len = 0;
        if (kind == 0) {
            add_frame(&frame, 0x81, text.data, text.len);
        } else { /* a fragment for every byte */
            for (size_t i = 0; i < text.len; i++)
                add_frame(&frame, (i == 0 ? 0x01 : 0x00) | (i + 1 == text.len ? 0x80 : 0),
                          text.data + i, 1);
        }
        add_frame(&frame, 0x81, "end", 3);
        open_connection(w);
        send_pieces(w, frame.data, frame.len, 0);
        for (int64_t stop = now(w) + LIMIT_MS; !w->closed && w->messages < 2; turn(w)) {
            react(w);
            if (now(w) > stop)
                fail_msg("%s as kind %d: nothing", hex, kind);
        }
        if (is_good != !w->closed)
            fail_msg("%s is %s as kind %d (%s)", hex, is_good ? "refused" : "taken", kind, w->why);
        assert_true(is_good || w->messages == 0);
        end_connection(w);
    }
}

static void utf8(void **state) {
    for (size_t i = 0; i < sizeof good_utf8 / sizeof good_utf8[0]; i++)
        check_utf8(*state, good_utf8[i], true);
    for (size_t i = 0; i < sizeof bad_utf8 / sizeof bad_utf8[0]; i++)
        check_utf8(*state, bad_utf8[i], false);
}

/* A frame that is refused in its middle, and goes on for long: libwebsockets' buffer would be
 * written past its end if it went on reading. */
static void refused_frames_that_go_on(void **state) {
    struct world *w = *state;
    static struct bytes bytes;
    static char piece[1 << 20];
    for (int kind = 0; kind < 2; kind++) {
        bytes.len = 0;
        /* bad UTF-8 at the beginning of 30 MiB; more than we take */
        add_hex(&bytes, kind == 0 ? "817F0000000001E00000FF" : "817F000000007FFFFFFF");
        open_connection(w);
        send_pieces(w, bytes.data, bytes.len, 0);
        for (int i = 0; i < 30 && !w->is_eof; i++)
            send_pieces(w, piece, sizeof piece, 0);
        TURN_UNTIL(w, w->closed);
        assert_non_null(strstr(w->why, kind == 0 ? "UTF-8" : "too large"));
        assert_int_equal(w->messages, 0);
        end_connection(w);
    }
}

/* ---- 7: closing ---- */

static void closing(void **state) {
    static const struct row rows[] = {
        {"t:a c:1000", "[a]", "", -1, false},
        {"c:1000 c:1000", "", "", -1, false},
        {"c:1000 p:p", "", "", -1, false},
        {"c:1000 t:a", "", "", -1, false},
        {"c:", "", "", -1, false},
        {"h:880103", "", "", 1002, false},
        {"c:1000/Hello,World!", "", "", -1, false},
        {"c:1001 ", "", "", -1, false},
        {"c:1011/oh", "", "", -1, false},
        {"c:4999", "", "", -1, false},
        {"c:0", "", "", 1002, false},
        {"c:999", "", "", 1002, false},
        {"c:1004", "", "", 1002, false},
        {"c:1005", "", "", 1002, false},
        {"c:1006", "", "", 1002, false},
        {"c:2999", "", "", 1002, false},
        {"c:1000/\xed\xa0\x80", "", "", 1007, false},
        {"h:8800 h:8800", "", "", -1, false},
        {"h:0800", "", "", 1002, false},         /* close without FIN */
        {"h:887E007E03E8", "", "", 1002, false}, /* of 126 bytes */
    };
    CHECK_ROWS(*state, rows);
}

/* 7.1.12: the end of TCP, also in the middle of a frame. */
static void ends_of_tcp(void **state) {
    struct world *w = *state;
    static const char *const frames[] = {"t:a", "t:a h:81", "t:a h:817E", "t:a h:81056162",
                                         "t:a T:b"};
    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++) {
        for (int kind = 0; kind < 2; kind++) {
            struct bytes bytes = {.len = 0};
            build(&bytes, frames[i]);
            open_connection(w);
            send_pieces(w, bytes.data, bytes.len, 0);
            TURN_UNTIL(w, w->messages == 1);
            struct linger reset = {.l_onoff = 1, .l_linger = 0};
            if (kind == 1)
                setsockopt(w->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
            close(w->fd);
            w->fd = -1;
            TURN_UNTIL(w, w->closed);
            assert_string_equal(w->seen, "[a]");
            end_connection(w);
        }
    }
}

/* 7.1.7, 7.1.8, 7.1.16: our own close, with an answer, and with a server that goes on. */
static void our_close(void **state) {
    struct world *w = *state;
    char payload[64];
    size_t len;
    for (int kind = 0; kind < 2; kind++) {
        open_connection(w);
        w->transport->ops->close(w->transport);
        w->transport = NULL;
        int first;
        TURN_UNTIL(w, (first = take_frame(w, payload, sizeof payload, &len)) >= 0 || w->is_eof);
        if (!w->is_eof) {
            assert_int_equal(first, 0x88);
            assert_int_equal((unsigned char)payload[0] << 8 | (unsigned char)payload[1], 1000);
        }
        struct bytes bytes = {.len = 0};
        build(&bytes, kind ? "t:a p:p t:b c:1000" : "c:1000");
        send_pieces(w, bytes.data, bytes.len, 0);
        TURN_UNTIL(w, w->is_eof);
        assert_int_equal(w->closed, 0); /* who closes is not told */
        assert_int_equal(w->messages, 0);
        assert_true(take_frame(w, payload, sizeof payload, &len) < 0);
        end_connection(w);
    }
}

/* ---- 8, 10: what we send ---- */

static void what_we_send(void **state) {
    struct world *w = *state;
    static char text[70001], got[70002];
    static const size_t lengths[] = {1, 125, 126, 65535, 65536, 70000};
    memset(text, 'x', sizeof text);
    open_connection(w);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        size_t len = 0;
        int first;
        assert_true(w->transport->ops->send(w->transport, text, lengths[i]));
        TURN_UNTIL(w, (first = take_frame(w, got, sizeof got, &len)) >= 0);
        assert_int_equal(first, 0x81); /* one text frame, no reserved bit */
        assert_int_equal(len, lengths[i]);
        assert_memory_equal(got, text, len);
    }
    /* 10.6: many in one turn, in order; 8.7: no mask comes twice */
    unsigned char masks[500][4];
    size_t count = 0, len = 0;
    for (int i = 0; i < 500; i++) {
        int n = snprintf(text, 16, "%d", i);
        assert_true(w->transport->ops->send(w->transport, text, (size_t)n));
    }
    while (count < 500) {
        TURN_UNTIL(w, w->in_len >= 6);
        memcpy(masks[count], w->in + 2, 4);
        int first;
        TURN_UNTIL(w, (first = take_frame(w, got, sizeof got, &len)) >= 0);
        assert_int_equal(first, 0x81);
        assert_int_equal(atoi(got), count);
        count++;
    }
    int same = 0;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++)
            same += memcmp(masks[i], masks[j], 4) == 0;
    assert_true(same <= 1);
    end_connection(w);
}

/* 10.7, 13.5: a server that does not read for a while loses nothing. */
static void full_sockets(void **state) {
    struct world *w = *state;
    static char text[100000];
    static char got[100001];
    open_connection(w);
    memset(text, 'x', sizeof text);
    size_t queued = 0;
    for (int i = 0; i < 100; i++) {
        assert_true(w->transport->ops->send(w->transport, text, sizeof text));
        inst_loop_step(w->loop); /* without reading */
    }
    queued = w->transport->ops->queued(w->transport);
    assert_true(queued > 0);
    for (int i = 0; i < 100; i++) {
        size_t len;
        int first;
        TURN_UNTIL(w, (first = take_frame(w, got, sizeof got, &len)) >= 0);
        assert_int_equal(first, 0x81);
        assert_int_equal(len, sizeof text);
    }
    TURN_UNTIL(w, w->transport->ops->queued(w->transport) == 0);
    assert_int_equal(w->closed, 0);
    end_connection(w);
}

/* 3.15, 11.10: pings are answered while we send, and do not pile up. */
static void floods_of_pings(void **state) {
    struct world *w = *state;
    static struct bytes bytes;
    char payload[200];
    size_t len;
    bytes.len = 0;
    for (int i = 0; i < 10000; i++)
        add_frame(&bytes, 0x89, "ping", 4);
    add_frame(&bytes, 0x81, "end", 3);
    open_connection(w);
    send_pieces(w, bytes.data, bytes.len, 0);
    TURN_UNTIL(w, w->messages == 1);
    int pongs = 0;
    while (take_frame(w, payload, sizeof payload, &len) == 0x8a)
        pongs++;
    assert_true(pongs >= 1 && pongs <= 10000);
    assert_int_equal(w->closed, 0);
    end_connection(w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
        T(what_we_ask),
        T(answers_that_open),
        T(answers_that_do_not),
        T(endless_headers),
        T(silent_servers),
        T(cut_handshakes),
        T(refused_connections),
        T(byte_by_byte_with_frames_behind),
        T(closed_while_connecting),
        T(frames),
        T(lengths),
        T(many_at_once),
        T(many_fragments),
        T(too_large_together),
        T(utf8),
        T(refused_frames_that_go_on),
        T(closing),
        T(ends_of_tcp),
        T(our_close),
        T(what_we_send),
        T(full_sockets),
        T(floods_of_pings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
