// Classes in miniature: what a C++ PDB holds. Compiled by the tests; nothing here ever runs.

typedef unsigned long long uint64;
extern "C" int _fltused = 1;
void *operator new(decltype(sizeof(0)), void *place) noexcept { return place; }
void operator delete(void *) noexcept {}
void operator delete(void *, decltype(sizeof(0))) noexcept {}

extern "C" int _purecall() { return 0; }

namespace geometry {

enum class Color : unsigned char { Red = 1, Green = 2, Blue = 0xff };
enum Wide : uint64 { Smallest = 0, Middle = 0x100000000ull, Largest = 0xffffffffffffffffull };
enum Signed : long long { Lowest = -0x7fffffffffffffffll - 1, Minus = -1, Highest = 0x7fffffffffffffffll };

class Shape {
public:
    Shape(int id) : id(id) { ++count; }
    virtual ~Shape() {}
    virtual double area() const = 0;
    virtual void name(const char *&out) const { out = "shape"; }
    static int count;
    static const int limit = 12;
    struct Nested {
        int depth;
        enum Kind { Open, Closed } kind;
        union {
            float number;
            int bits;
        };
    };
    typedef Nested *NestedPointer;
    Nested nested;

protected:
    int id;
};
int Shape::count;

struct Named : virtual Shape {
    Named(int id) : Shape(id) {}
    char label[16];
    void name(const char *&out) const override { out = label; }
};

struct Tinted : virtual Shape {
    Tinted(int id) : Shape(id), color(Color::Green) {}
    Color color;
    Wide wide;
};

struct Square final : Named, Tinted {
    Square(double side) : Shape(4), Named(4), Tinted(4), side(side) {}
    double area() const override { return side * side; }
    double side;
};

template <typename T, int N> struct Array {
    T items[N];
    T &operator[](int index) { return items[index]; }
    const T *begin() const { return items; }
    template <typename U> U convert(int index) const { return static_cast<U>(items[index]); }
    struct Iterator {
        T *place;
        Iterator &operator++()
        {
            ++place;
            return *this;
        }
    };
};

template <typename T> __attribute__((noinline)) T largest(const Array<T, 4> &array)
{
    T found = array.items[0];
    for (int i = 1; i < 4; i++)
        if (array.items[i] > found)
            found = array.items[i];
    return found;
}

struct Member {
    int value;
    int Member::*field;
    int (Member::*method)(int);
    int add(int more) { return value + more; }
    bool operator==(const Member &other) const { return value == other.value; }
    operator int() const { return value; }
    int &reference;
    int &&moved;
    static Member *instance;
    void (*callback)(Shape &, Color, ...);
};
Member *Member::instance;

inline __attribute__((always_inline)) int twice(int value) { return value * 2; }
inline __attribute__((always_inline)) int fourfold(int value)
{
    int half = twice(value);
    return twice(half);
}

} // namespace geometry

namespace {
struct Hidden {
    int value;
    geometry::Signed sign;
};
__attribute__((noinline)) int hidden(Hidden &what) { return what.value + geometry::fourfold(what.value); }
} // namespace

using namespace geometry;

alignas(8) char storage[sizeof(Square)];
Array<long, 4> longs;
Array<Color, 2> colors;
Member *members;
Array<int, 3>::Iterator iterator;

__attribute__((noinline)) int local_types(int seed)
{
    struct Local {
        int first;
        char second;
    } local = {seed, 'x'};
    enum LocalKind { One = 1, Two } kind = Two;
    auto lambda = [&](int more) __attribute__((noinline)) { return local.first + more + kind; };
    return lambda(seed);
}

extern "C" int EntryPoint(int argument)
{
    Square *square = new (storage) Square(argument);
    const char *text;
    square->name(text);
    Hidden what = {argument, Minus};
    longs[1] = argument;
    colors[0] = Color::Blue;
    ++iterator;
    if (members && *members == *Member::instance)
        return members->add(int(*members)) + (members->*members->method)(3);
    return int(square->area()) + hidden(what) + int(largest(longs)) + local_types(argument) + text[0] +
           longs.convert<short>(2) + int(Shape::limit);
}
