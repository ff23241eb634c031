/* Announces as fast as a server answers, or at a given rate, from one core: epoll and OpenSSL.

   load HOST PORT RECORDS CONNECTIONS ANNOUNCES RATE KEEP_ALIVE SEED [CA.pem KEY.pem]

   RECORDS holds announces as `tests/bench/tracker/peers.py` writes them: for each the length of the
   certificate and of the request (4 bytes each, little-endian), DER and HTTP head. They are sent in
   a random order, with SEED 0 in that of the file. RATE 0: each of CONNECTIONS sends its next announce when the last is answered.
   Otherwise: so many are due per second, whoever is free sends them, and an announce has waited since
   it was due. KEEP_ALIVE 0: a connection for every announce; otherwise each connection has made its
   handshake and a first announce, which are not counted, before the clock starts. With CA and KEY: TLS 1.3, with the
   announce's certificate; every certificate is for that key.

   Prints "started" when the clock starts, and at the end one line of JSON: seconds, answered, refused (a failure reason), failed (no answer), p50_ms,
   p99_ms. Linux only; OpenSSL >= 1.1.1. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_BYTES 65536
#define SOURCE_ADDRESSES 200 /* 127.0.1.x, always the same for a peer: no run is short of ports */

struct record {
    const unsigned char *der, *request;
    uint32_t der_bytes, request_bytes;
};

struct connection {
    int fd; /* -1: none */
    SSL *ssl;
    const struct record *record; /* NULL: idle */
    const struct record *proved; /* whose certificate the TLS handshake was made with */
    size_t sent, got;
    double since;
    int shaken, writing;
    char answer[ANSWER_BYTES + 1];
};

static struct sockaddr_in server;
static SSL_CTX *context;
static EVP_PKEY *key;
static int poller, keep_alive;
static long answered, refused, failed;
static double *latencies;
static struct record *records;
static size_t record_count;
static struct connection *all, **free_ones;
static long connections;
static int in_order;
static uint64_t seed;

static void die(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static uint64_t next_random(uint64_t *state) { /* xorshift64* */
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 2685821657736338717ULL;
}

static void hang_up(struct connection *c) {
    if (c->ssl) SSL_free(c->ssl);
    if (c->fd >= 0) close(c->fd);
    c->ssl = NULL;
    c->fd = -1;
}

static void dial(struct connection *c) {
    struct sockaddr_in from = {.sin_family = AF_INET};
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
    int yes = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0) die("socket");
    from.sin_addr.s_addr = htonl(0x7f000101 + (c->record - records) % SOURCE_ADDRESSES);
    setsockopt(c->fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
    if (bind(c->fd, (struct sockaddr *)&from, sizeof from)) die("bind");
    if (connect(c->fd, (struct sockaddr *)&server, sizeof server) && errno != EINPROGRESS)
        die("connect");
    if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event)) die("epoll_ctl");
    c->writing = 1;
    if (context) {
        const unsigned char *der = c->record->der;
        X509 *certificate = d2i_X509(NULL, &der, c->record->der_bytes);
        c->ssl = SSL_new(context);
        if (!c->ssl || !certificate || SSL_use_certificate(c->ssl, certificate) != 1 ||
            SSL_use_PrivateKey(c->ssl, key) != 1 || SSL_set1_host(c->ssl, "localhost") != 1 ||
            SSL_set_tlsext_host_name(c->ssl, "localhost") != 1 || SSL_set_fd(c->ssl, c->fd) != 1)
            die("TLS");
        X509_free(certificate);
        SSL_set_connect_state(c->ssl);
        c->shaken = 0;
        c->proved = c->record;
    }
}

/* Wait for room to write only while there is something to write. */
static void watch(struct connection *c, int writing) {
    struct epoll_event event = {.events = EPOLLIN | (writing ? EPOLLOUT : 0), .data.ptr = c};
    if (c->writing == writing) return;
    c->writing = writing;
    if (epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event)) die("epoll_ctl");
}

/* Bytes moved, 0 at the end or after an error, -1 for "not now". */
static int transfer(struct connection *c, int sending) {
    const char *data = (const char *)c->record->request + c->sent;
    size_t left = c->record->request_bytes - c->sent;
    int moved;
    if (!c->ssl) {
        moved = sending ? send(c->fd, data, left, MSG_NOSIGNAL)
                        : recv(c->fd, c->answer + c->got, ANSWER_BYTES - c->got, 0);
        if (moved < 0) return errno == EAGAIN || errno == EINPROGRESS || errno == ENOTCONN ? -1 : 0;
        return moved;
    }
    ERR_clear_error();
    if (!c->shaken) {
        moved = SSL_do_handshake(c->ssl);
        if (moved == 1) c->shaken = 1;
    } else {
        moved = 1;
    }
    if (moved == 1)
        moved = sending ? SSL_write(c->ssl, data, left)
                        : SSL_read(c->ssl, c->answer + c->got, ANSWER_BYTES - c->got);
    if (moved > 0) return moved;
    switch (SSL_get_error(c->ssl, moved)) {
    case SSL_ERROR_WANT_READ:
        watch(c, 0);
        return -1;
    case SSL_ERROR_WANT_WRITE:
        watch(c, 1);
        return -1;
    default:
        return 0;
    }
}

static void finish(struct connection *c, int good) {
    if (good) {
        latencies[answered++] = now() - c->since;
        if (memmem(c->answer, c->got, "failure reason", 14) && !refused++)
            fprintf(stderr, "load: refused, for example: %.300s\n", c->answer);
    } else {
        failed++;
    }
    c->record = NULL;
    if (!good || !keep_alive) hang_up(c);
}

/* Whole once all that Content-Length promises is there. Returns -1 if it is no good answer. */
static int complete(struct connection *c) {
    char *end, *length;
    c->answer[c->got] = 0;
    end = strstr(c->answer, "\r\n\r\n");
    if (!end) return c->got >= ANSWER_BYTES ? -1 : 0;
    if (memcmp(c->answer + 8, " 200", 4)) return -1;
    length = strcasestr(c->answer, "\r\ncontent-length:");
    if (!length || length > end) return -1;
    return c->got >= (size_t)(end + 4 - c->answer) + strtoul(length + 17, NULL, 10);
}

static void proceed(struct connection *c) {
    int moved, state;
    while (c->record && c->sent < c->record->request_bytes) {
        moved = transfer(c, 1);
        if (moved < 0) return;
        if (moved == 0) {
            finish(c, 0);
            return;
        }
        c->sent += moved;
    }
    if (!c->record) return;
    watch(c, 0);
    for (;;) {
        moved = transfer(c, 0);
        if (moved < 0) return;
        c->got += moved;
        state = moved ? complete(c) : -1;
        if (state) {
            finish(c, state > 0);
            return;
        }
    }
}

static void begin(struct connection *c, const struct record *record, double since) {
    c->record = c->ssl ? c->proved : record; /* over TLS a connection has one certificate */
    c->sent = c->got = 0;
    c->since = since;
    if (c->fd < 0)
        dial(c);
    else
        watch(c, 1);
    proceed(c);
}

static void read_records(const char *path, size_t *count) {
    struct stat status;
    const unsigned char *data, *end;
    size_t room = 0;
    int file = open(path, O_RDONLY);
    if (file < 0 || fstat(file, &status)) die(path);
    data = mmap(NULL, status.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
    if (data == MAP_FAILED) die(path);
    *count = 0;
    for (end = data + status.st_size; data < end; (*count)++) {
        if (*count == room) {
            room = room ? 2 * room : 1024;
            records = realloc(records, room * sizeof *records);
            if (!records) die("records");
        }
        struct record *r = records + *count;
        memcpy(&r->der_bytes, data, 4);
        memcpy(&r->request_bytes, data + 4, 4);
        r->der = data + 8;
        r->request = r->der + r->der_bytes;
        data = r->request + r->request_bytes;
    }
    if (!*count) die("no records");
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Seconds that so many announces take. */
static double announce(long announces, double rate) {
    struct epoll_event events[256];
    size_t idle = 0;
    long begun = 0;
    double started = now();
    answered = refused = failed = 0;
    for (long i = 0; i < connections; i++)
        if (!all[i].record) free_ones[idle++] = all + i;
    while (answered + failed < announces) {
        double due = started + (rate ? begun / rate : 0), time = now();
        long done = answered + failed;
        int wait_ms = -1;
        /* A few, then a look at the sockets. */
        for (int burst = 0; idle && begun < announces && (!rate || due <= time) && burst < 64;
             burst++) {
            const struct record *record = records + (in_order ? seed++ : next_random(&seed)) % record_count;
            begun++;
            begin(free_ones[--idle], record, rate ? due : time);
            due = started + (rate ? begun / rate : 0);
            time = now();
        }
        if (answered + failed != done)
            wait_ms = 0; /* answered at once: somebody is free again */
        else if (idle && begun < announces)
            wait_ms = due > time ? (int)((due - time) * 1000) : 0;
        for (int i = 0, n = epoll_wait(poller, events, 256, wait_ms); i < n; i++) {
            struct connection *c = events[i].data.ptr;
            if (c->record)
                proceed(c);
            else if (c->fd >= 0)
                hang_up(c); /* the server has closed a connection that was idle */
        }
        idle = 0;
        for (long i = 0; i < connections; i++)
            if (!all[i].record) free_ones[idle++] = all + i;
    }
    return now() - started;
}

int main(int argc, char **argv) {
    if (argc != 9 && argc != 11) {
        fprintf(stderr, "usage: load HOST PORT RECORDS CONNECTIONS ANNOUNCES RATE KEEP_ALIVE SEED"
                        " [CA KEY]\n");
        return 2;
    }
    long announces = atol(argv[5]);
    double rate = atof(argv[6]), seconds;
    connections = atol(argv[4]);
    in_order = strtoull(argv[8], NULL, 10) == 0;
    seed = in_order ? 0 : strtoull(argv[8], NULL, 10) * 2 + 1;
    all = calloc(connections, sizeof *all);
    free_ones = calloc(connections, sizeof *free_ones);
    read_records(argv[3], &record_count);
    latencies = calloc(announces > connections ? announces : connections, sizeof *latencies);
    if (!all || !free_ones || !latencies) die("memory");
    server.sin_family = AF_INET;
    server.sin_port = htons(atoi(argv[2]));
    if (inet_pton(AF_INET, argv[1], &server.sin_addr) != 1) die(argv[1]);
    keep_alive = atoi(argv[7]);
    if (argc == 11) {
        FILE *file = fopen(argv[10], "r");
        context = SSL_CTX_new(TLS_client_method());
        if (!file || !context || !(key = PEM_read_PrivateKey(file, NULL, NULL, NULL)) ||
            SSL_CTX_load_verify_locations(context, argv[9], NULL) != 1)
            die("TLS files");
        SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
        fclose(file);
    }
    poller = epoll_create1(0);
    if (poller < 0) die("epoll_create1");
    for (long i = 0; i < connections; i++) all[i].fd = -1;
    if (keep_alive) announce(connections, 0);
    puts("started");
    fflush(stdout);
    seconds = announce(announces, rate);
    qsort(latencies, answered, sizeof *latencies, by_size);
    printf("{\"seconds\": %.6f, \"answered\": %ld, \"refused\": %ld, \"failed\": %ld, "
           "\"p50_ms\": %.4f, \"p99_ms\": %.4f}\n",
           seconds, answered, refused, failed,
           answered ? latencies[answered / 2] * 1e3 : 0.0,
           answered ? latencies[answered * 99 / 100] * 1e3 : 0.0);
    return 0;
}
