/* A driver in miniature: what a kernel PDB holds in C. Compiled by the tests; nothing here ever runs. */

typedef unsigned char UCHAR;
typedef unsigned short USHORT;
typedef unsigned long ULONG;
typedef long LONG;
typedef long long LONGLONG;
typedef unsigned long long ULONGLONG;
typedef unsigned short WCHAR;
typedef LONG NTSTATUS;
typedef void *PVOID;

typedef struct _LIST_ENTRY {
    struct _LIST_ENTRY *Flink;
    struct _LIST_ENTRY *Blink;
} LIST_ENTRY;

typedef union _LARGE_INTEGER {
    struct {
        ULONG LowPart;
        LONG HighPart;
    };
    struct {
        ULONG LowPart;
        LONG HighPart;
    } u;
    LONGLONG QuadPart;
} LARGE_INTEGER;

typedef struct _UNICODE_STRING {
    USHORT Length;
    USHORT MaximumLength;
    WCHAR *Buffer;
} UNICODE_STRING;

typedef enum _POOL_KIND { NonPagedPool, PagedPool, NonPagedPoolNx = 512, LastPool = -1 } POOL_KIND;

typedef struct _FLAGS {
    ULONG Busy : 1;
    ULONG State : 3;
    ULONG Reserved : 28;
    ULONGLONG Wide : 40;
    ULONGLONG Rest : 24;
    signed char Small : 2;
    POOL_KIND Kind : 4;
} FLAGS;

struct _OPAQUE;
struct _DEVICE;
typedef NTSTATUS (*ROUTINE)(struct _DEVICE *Device, ULONG Code);

typedef struct _DEVICE {
    LIST_ENTRY Link;
    UNICODE_STRING Name;
    LARGE_INTEGER Timeout;
    volatile LONG References;
    const ULONG Signature;
    FLAGS Flags;
    POOL_KIND Kind;
    struct _DEVICE *Parent;
    struct _OPAQUE *Opaque;
    ROUTINE Routine[4];
    ULONG Matrix[3][5];
    union {
        ULONG Word;
        struct {
            USHORT Low;
            USHORT High;
        } Halves;
        UCHAR Bytes[4];
    };
    float Ratio;
    double Precise;
    _Bool Ready;
    char Text[12];
    unsigned char Tail[1];
} DEVICE;

#pragma pack(push, 1)
typedef struct _PACKED {
    UCHAR First;
    ULONG Second;
    ULONGLONG Third;
    LARGE_INTEGER Fourth;
} PACKED;
#pragma pack(pop)

int _fltused = 1;
DEVICE GlobalDevice;
static volatile LONG StaticCounter = 7;
static DEVICE StaticDevice = {.Signature = 5};
__declspec(thread) int PerThread;
PACKED GlobalPacked = {1, 2, 3};
const char *Message = "a string literal";
const WCHAR *WideMessage = L"a wide literal";
unsigned _tls_index;

static __inline __attribute__((always_inline)) LONG Add(LONG left, LONG right)
{
    LONG sum = left + right;
    if (sum > 1000)
        sum -= StaticCounter;
    return sum;
}

static __inline __attribute__((always_inline)) LONG AddTwice(DEVICE *device, LONG value)
{
    device->References += Add(value, 1);
    device->References ^= Add(value, 2);
    return device->References;
}

__attribute__((noinline)) static NTSTATUS StaticRoutine(DEVICE *device, ULONG code)
{
    static ULONG LocalStatic = 3;
    StaticCounter += 1;
    LocalStatic += code;
    device->Flags.State = code & 7;
    return AddTwice(device, (LONG)code);
}

__attribute__((noinline)) NTSTATUS SameAsOther(DEVICE *device, ULONG code)
{
    device->Flags.Busy = 1;
    return (NTSTATUS)code;
}

__attribute__((noinline)) NTSTATUS OtherAsSame(DEVICE *device, ULONG code)
{
    device->Flags.Busy = 1;
    return (NTSTATUS)code;
}

__attribute__((noinline)) NTSTATUS PagedRoutine(DEVICE *device, ULONG code) __attribute__((section("PAGE")));
NTSTATUS PagedRoutine(DEVICE *device, ULONG code)
{
    LONG total = Add(device->Matrix[code % 3][1], 3);
    if (total > PerThread)
        total = Add(total, device->Matrix[1][code % 5]);
    return total;
}

__attribute__((noinline)) static NTSTATUS FoldedFirst(DEVICE *device)
{
    device->Flags.Wide += 2;
    return device->References;
}

__attribute__((noinline)) static NTSTATUS FoldedAlias(DEVICE *device)
{
    device->Flags.Wide += 2;
    return device->References;
}

NTSTATUS DriverEntry(DEVICE *device, UNICODE_STRING *path)
{
    NTSTATUS status = 0;
    device->Routine[0] = StaticRoutine;
    device->Routine[1] = SameAsOther;
    device->Routine[2] = OtherAsSame;
    device->Routine[3] = PagedRoutine;
    device->Name = *path;
    StaticDevice.Parent = device;
    GlobalDevice.Parent = &StaticDevice;
    GlobalPacked.Second = (ULONG)GlobalDevice.References;
    status = device->Routine[path->Length & 3](device, 5);
    status ^= FoldedFirst(device) ^ FoldedAlias(&StaticDevice);
    if (status < 0)
        status = StaticRoutine(device, Message[0]) + WideMessage[1];
#line 1000 "generated.c"
    status += AddTwice(&GlobalDevice, status);
    return status;
}
