/* What the machine allows: threads that only fetch, hash, write and sync.
 *
 *     limit PORT PREFIX SUMS TARGET
 *
 * SUMS is a list for sha256sum -c; each name is fetched from 127.0.0.1:PORT at PREFIX/NAME. Exits 1 if anything is
 * wrong. Built with: cc -O2 -o limit limit.c -lpthread -ldl
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { THREADS = 16, BLOCK = 256 * 1024, MOST = 1 << 20 };

static void *(*new_context)(void);
static const void *(*sha256)(void);
static int (*begin)(void *, const void *, void *);
static int (*update)(void *, const void *, size_t);
static int (*finish)(void *, unsigned char *, unsigned int *);

static int port, count, next;
static const char *prefix, *target;
static char *digests[MOST], *names[MOST];

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static int connected(void)
{
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons(port)};
    int one = 1, link = socket(AF_INET, SOCK_STREAM, 0);
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(link, (struct sockaddr *)&place, sizeof place))
        fail("connect");
    setsockopt(link, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return link;
}

static void keep(void *context, int file, const char *bytes, ssize_t size)
{
    update(context, bytes, size);
    if (write(file, bytes, size) != size)
        fail("write");
}

static void fetch(int link, void *context, char *block, int index)
{
    char path[4096], hex[65];
    unsigned char digest[32];
    int size = snprintf(path, sizeof path, "GET %s/%s HTTP/1.1\r\nHost: localhost\r\n\r\n", prefix, names[index]);
    if (write(link, path, size) != size)
        fail("request");
    snprintf(path, sizeof path, "%s/%s", target, names[index]);
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (file < 0)
        fail(path);
    ssize_t held = 0, got;
    char *end = NULL;
    while (!end) {
        if ((got = read(link, block + held, BLOCK - held)) <= 0)
            fail("head");
        held += got;
        end = memmem(block, held, "\r\n\r\n", 4);
    }
    *end = 0;
    char *stated = strcasestr(block, "content-length:");
    long left = stated ? atol(stated + 15) : 0;
    if (!strstr(block, " 200 "))
        fail("status");
    begin(context, sha256(), NULL);
    ssize_t first = held - (end + 4 - block);
    keep(context, file, end + 4, first);
    for (left -= first; left > 0; left -= got) {
        if ((got = read(link, block, left < BLOCK ? left : BLOCK)) <= 0)
            fail("body");
        keep(context, file, block, got);
    }
    finish(context, digest, NULL);
    for (int i = 0; i < 32; i++)
        sprintf(hex + 2 * i, "%02x", digest[i]);
    if (strcmp(hex, digests[index]) || fsync(file) || close(file))
        fail(path);
}

static void *work(void *unused)
{
    int link = connected(), index;
    char *block = malloc(BLOCK);
    void *context = new_context();
    while ((index = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED)) < count)
        fetch(link, context, block, index);
    return unused;
}

static void *symbol(void *library, const char *name)
{
    void *found = library ? dlsym(library, name) : NULL;
    if (!found)
        fail(name);
    return found;
}

int main(int many, char **given)
{
    char digest[65], name[256];
    if (many != 5)
        return 2;
    void *library = dlopen("libcrypto.so.3", RTLD_NOW);
    new_context = symbol(library, "EVP_MD_CTX_new");
    sha256 = symbol(library, "EVP_sha256");
    begin = symbol(library, "EVP_DigestInit_ex");
    update = symbol(library, "EVP_DigestUpdate");
    finish = symbol(library, "EVP_DigestFinal_ex");
    port = atoi(given[1]), prefix = given[2], target = given[4];
    FILE *sums = fopen(given[3], "r");
    if (!sums)
        fail(given[3]);
    while (count < MOST && fscanf(sums, "%64s %255s", digest, name) == 2)
        digests[count] = strdup(digest), names[count++] = strdup(name);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, work, NULL);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    int folder = open(target, O_RDONLY | O_DIRECTORY);
    return fsync(folder) ? 1 : 0;
}
