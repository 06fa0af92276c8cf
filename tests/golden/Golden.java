// Writes the vectors beside it with Kafka's own message classes. `libs` holds the jars of kafka-clients 4.3.1 and what
// it needs:
//   javac -cp 'libs/*' -d out Golden.java
//   java -cp 'libs/*:out' Golden random   >vectors.txt
//   java -cp 'libs/*:out' Golden variants >variants.txt

import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.lang.reflect.ParameterizedType;
import java.nio.ByteBuffer;
import java.util.*;
import java.util.function.Supplier;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.errors.UnsupportedVersionException;
import org.apache.kafka.common.message.*;
import org.apache.kafka.common.message.ApiMessageType.ListenerType;
import org.apache.kafka.common.protocol.*;
import org.apache.kafka.common.protocol.types.RawTaggedField;
import org.apache.kafka.common.record.internal.BaseRecords;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.utils.ImplicitLinkedHashMultiCollection;

public class Golden {
    /** Between brokers only: no client sends or reads them. */
    static final Set<Integer> BETWEEN_BROKERS = Set.of(27, 83, 84, 85, 86, 87);

    record Kind(String name, Supplier<Message> make, short lowest, short highest, boolean ofClients) { }

    static Kind kind(Supplier<Message> make, boolean ofClients) {
        Message m = make.get();
        String name = m.getClass().getSimpleName().replaceAll("Data$", "");
        return new Kind(name, make, m.lowestSupportedVersion(), m.highestSupportedVersion(), ofClients);
    }

    /** The requests and responses of every API. */
    static List<Kind> apis() {
        List<Kind> kinds = new ArrayList<>();
        for (ApiMessageType type : ApiMessageType.values()) {
            if (type.lowestSupportedVersion() > type.highestSupportedVersion(true)) continue; // gone, but for its number
            boolean ofClients = type.listeners().contains(ListenerType.BROKER) && !BETWEEN_BROKERS.contains((int) type.apiKey());
            kinds.add(kind(type::newRequest, ofClients));
            kinds.add(kind(type::newResponse, ofClients));
        }
        return kinds;
    }

    /** What is no API, but read and written by clients. */
    static List<Kind> others() {
        return List.of(kind(RequestHeaderData::new, true), kind(ResponseHeaderData::new, true),
            kind(ConsumerProtocolSubscription::new, true), kind(ConsumerProtocolAssignment::new, true),
            kind(EndTxnMarker::new, true), kind(ControlRecordTypeSchema::new, true));
    }

    public static void main(String[] arguments) throws Exception {
        switch (arguments[0]) {
            case "random" -> {
                // All of them are filled, so that the random values of one do not depend on which others are printed.
                for (Kind kind : apis()) random(kind, "");
            }
            case "variants" -> {
                for (Kind kind : others()) random(kind, "random ");
                List<Kind> all = new ArrayList<>(others());
                apis().stream().filter(Kind::ofClients).forEach(all::add);
                for (Kind kind : all) for (short v = kind.lowest; v <= kind.highest; v++) variants(kind, v);
            }
            default -> throw new IllegalArgumentException(arguments[0]);
        }
    }

    // ---- writing

    static byte[] bytes(Message m, short version) {
        ObjectSerializationCache cache = new ObjectSerializationCache();
        ByteBuffer buffer = ByteBuffer.allocate(m.size(cache, version));
        m.write(new ByteBufferAccessor(buffer), cache, version);
        if (buffer.hasRemaining()) throw new IllegalStateException(m + ": size and bytes differ");
        return buffer.array();
    }

    static void print(String prefix, Kind kind, short version, Message m) {
        // An empty message has no bytes at all: "-" stands for that.
        String hex = HexFormat.of().formatHex(bytes(m, version));
        System.out.println(prefix + kind.name + " " + version + " " + (hex.isEmpty() ? "-" : hex));
    }

    /** The fields that hold what a message says. */
    static List<Field> fields(Message m) {
        List<Field> fields = new ArrayList<>();
        for (Field f : m.getClass().getDeclaredFields()) {
            boolean link = f.getName().equals("next") || f.getName().equals("prev"); // of the collection that holds it
            if (Modifier.isStatic(f.getModifiers()) || f.getName().startsWith("_") || link) continue;
            f.setAccessible(true);
            fields.add(f);
        }
        return fields;
    }

    static Message fresh(Class<?> c) throws Exception { return (Message) c.getConstructor().newInstance(); }

    static Class<?> elementOf(Field f) {
        var generic = f.getGenericType() instanceof ParameterizedType p ? p : (ParameterizedType) f.getType().getGenericSuperclass();
        return (Class<?>) generic.getActualTypeArguments()[0];
    }

    // ---- random values in every field

    static final Random RANDOM = new Random(42);

    static byte[] randomBytes(int n) { byte[] b = new byte[n]; RANDOM.nextBytes(b); return b; }

    @SuppressWarnings({"unchecked", "rawtypes"})
    static Object randomValue(Class<?> c, Field f) throws Exception {
        if (c == String.class) return "s" + Integer.toString(RANDOM.nextInt(1 << 20), 36);
        if (c == int.class && f.getName().equals("port")) return RANDOM.nextInt(1 << 16); // some are 16 bits wide
        if (c == int.class || c == Integer.class) return RANDOM.nextInt();
        if (c == short.class || c == Short.class) return (short) RANDOM.nextInt(1 << 15);
        if (c == byte.class || c == Byte.class) return (byte) RANDOM.nextInt(1 << 7);
        if (c == long.class || c == Long.class) return RANDOM.nextLong();
        if (c == boolean.class) return true;
        if (c == double.class) return RANDOM.nextDouble();
        if (c == Uuid.class) return new Uuid(RANDOM.nextLong(), RANDOM.nextLong());
        if (c == byte[].class) return randomBytes(5);
        if (c == ByteBuffer.class) return ByteBuffer.wrap(randomBytes(7));
        if (BaseRecords.class.isAssignableFrom(c)) return MemoryRecords.readableRecords(ByteBuffer.wrap(randomBytes(9)));
        if (Collection.class.isAssignableFrom(c)) {
            Collection list = List.class.isAssignableFrom(c) ? new ArrayList<>() : (Collection) c.getConstructor().newInstance();
            for (int i = 0; i < 2; i++) list.add(randomValue(elementOf(f), f));
            return list;
        }
        Message m = fresh(c);
        randomise(m);
        return m;
    }

    static void randomise(Message m) throws Exception {
        for (Field f : fields(m)) f.set(m, randomValue(f.getType(), f));
    }

    /** Prints every version with random values in all fields that it has. */
    static void random(Kind kind, String prefix) throws Exception {
        for (short version = kind.lowest; version <= kind.highest; version++) {
            Message m = kind.make.get();
            randomise(m);
            while (true) {
                try {
                    bytes(m, version);
                    break;
                } catch (UnsupportedVersionException e) {
                    // A field that the version does not have, and that may not be lost: back to its default.
                    Matcher named = Pattern.compile("non-default (\\w+) at").matcher(e.getMessage());
                    if (!named.find()) throw e;
                    reset(m, named.group(1));
                }
            }
            if (kind.ofClients) print(prefix, kind, version, m);
        }
    }

    static void reset(Message m, String name) throws Exception {
        for (Field f : fields(m)) {
            if (f.getName().equals(name)) f.set(m, f.get(fresh(m.getClass())));
            else for (Message inner : inner(f.get(m))) reset(inner, name);
        }
    }

    static List<Message> inner(Object value) {
        List<Message> messages = new ArrayList<>();
        if (value instanceof Message m) messages.add(m);
        else if (value instanceof Collection<?> list) for (Object e : list) if (e instanceof Message m) messages.add(m);
        return messages;
    }

    // ---- variants: all defaults; one default element in every array; nulls; null arrays; unknown tagged fields

    static void variants(Kind kind, short version) throws Exception {
        print("default ", kind, version, kind.make.get());
        Message filled = kind.make.get();
        fill(filled, filled, version);
        print("filled ", kind, version, filled);
        Message nulls = kind.make.get();
        fill(nulls, nulls, version);
        if (nullify(nulls, nulls, version, false) && differ(nulls, filled, version)) print("nulls ", kind, version, nulls);
        Message arrays = kind.make.get();
        fill(arrays, arrays, version);
        if (nullify(arrays, arrays, version, true) && differ(arrays, filled, version)) print("null-arrays ", kind, version, arrays);
        Message tagged = kind.make.get();
        fill(tagged, tagged, version);
        if (tag(tagged, tagged, version)) print("tagged ", kind, version, tagged);
    }

    /** A null that a version without the field drops is none. */
    static boolean differ(Message a, Message b, short version) {
        return !Arrays.equals(bytes(a, version), bytes(b, version));
    }

    /** Sets the field, if the version can write that; says whether it can. */
    static boolean set(Message root, Message m, Field f, Object value, short version) throws Exception {
        Object before = f.get(m);
        f.set(m, value);
        try {
            bytes(root, version);
            return true;
        } catch (UnsupportedVersionException | NullPointerException e) {
            f.set(m, before);
            return false;
        }
    }

    /** Puts one element into every array, and a struct where one may be. */
    @SuppressWarnings({"unchecked", "rawtypes"})
    static void fill(Message root, Message m, short version) throws Exception {
        for (Field f : fields(m)) {
            Class<?> c = f.getType();
            if (Collection.class.isAssignableFrom(c)) {
                Class<?> e = elementOf(f);
                Object element = Message.class.isAssignableFrom(e) ? fresh(e) : e == String.class ? "" : e == Uuid.class ? Uuid.ZERO_UUID
                    : e == Integer.class ? 0 : e == Long.class ? 0L : e == Short.class ? (Object) (short) 0 : (byte) 0;
                Collection one = List.class.isAssignableFrom(c) ? new ArrayList<>() : (Collection) c.getConstructor().newInstance();
                one.add(element);
                if (!set(root, m, f, one, version) && element instanceof Message inner) {
                    // Records may be null, but not in every version.
                    for (Field g : fields(inner)) if (g.getType() == BaseRecords.class) g.set(inner, MemoryRecords.EMPTY);
                    set(root, m, f, one, version);
                }
            } else if (Message.class.isAssignableFrom(c) && f.get(m) == null) {
                set(root, m, f, fresh(c), version);
            }
            for (Message inner : inner(f.get(m))) fill(root, inner, version);
        }
    }

    /** Makes everything null that may be: arrays, or all but arrays. */
    static boolean nullify(Message root, Message m, short version, boolean arrays) throws Exception {
        boolean any = false;
        for (Field f : fields(m)) {
            Class<?> c = f.getType();
            if (!c.isPrimitive() && c != Uuid.class && Collection.class.isAssignableFrom(c) == arrays && f.get(m) != null) {
                any |= set(root, m, f, null, version);
            }
            for (Message inner : inner(f.get(m))) any |= nullify(root, inner, version, arrays);
        }
        return any;
    }

    /** Adds tagged fields that nobody knows to every struct, if the version has tagged fields. */
    static boolean tag(Message root, Message m, short version) throws Exception {
        List<RawTaggedField> unknown = m.unknownTaggedFields();
        unknown.add(new RawTaggedField(1000, new byte[0]));
        unknown.add(new RawTaggedField(70000, new byte[] {1, 2, 3}));
        try {
            bytes(root, version);
        } catch (UnsupportedVersionException e) {
            unknown.clear();
            return false;
        }
        for (Field f : fields(m)) for (Message inner : inner(f.get(m))) tag(root, inner, version);
        return true;
    }
}
