import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.GroupSubscription;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.Subscription;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.RangeAssignor;
import org.apache.kafka.clients.consumer.RoundRobinAssignor;
import org.apache.kafka.clients.consumer.StickyAssignor;
import org.apache.kafka.clients.consumer.internals.ConsumerProtocol;
import org.apache.kafka.common.Cluster;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;

/**
 * What Kafka's own assignors make of groups: reads them from its standard input, and writes them again with what each member
 * gets. Groups and results are lines of words:
 *
 *   group ASSIGNOR
 *   topic NAME RACKS..               the racks of each partition's replicas, with commas between them, or -
 *   member ID INSTANCE SUBSCRIPTION  the instance id or -, and the bytes that it sends with JoinGroup, in hexadecimal digits
 *   end
 *
 * In place of `end` it writes what each member gets, in their order:
 *
 *   gets TOPIC-PARTITION..
 *
 * or, where the assignor fails, `throws` and what.
 */
public class Assignors {
    public static void main(String[] args) throws Exception {
        System.setProperty("org.apache.logging.log4j.level", "OFF");
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        List<String[]> lines = new ArrayList<>();
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            if (line.equals("end")) {
                for (String result : assign(lines)) out.println(result);
                lines.clear();
            } else {
                out.println(line);
                lines.add(line.split(" "));
            }
        }
        out.flush();
    }

    static List<String> assign(List<String[]> lines) {
        ConsumerPartitionAssignor assignor = null;
        List<PartitionInfo> partitions = new ArrayList<>();
        List<String> members = new ArrayList<>();
        // The collection, and the order of what is put into it, are those of Java's ConsumerCoordinator: the results depend on both.
        Map<String, Subscription> subscriptions = new HashMap<>();
        for (String[] words : lines) {
            switch (words[0]) {
                case "group" -> assignor = named(words[1]);
                case "topic" -> {
                    for (int i = 2; i < words.length; i++) partitions.add(partition(words[1], i - 2, words[i]));
                }
                case "member" -> {
                    members.add(words[1]);
                    byte[] bytes = HexFormat.of().parseHex(words[3]);
                    Subscription subscription = ConsumerProtocol.deserializeSubscription(ByteBuffer.wrap(bytes));
                    subscription.setGroupInstanceId(words[2].equals("-") ? Optional.empty() : Optional.of(words[2]));
                    subscriptions.put(words[1], subscription);
                }
                default -> throw new IllegalArgumentException(words[0]);
            }
        }
        Cluster cluster = new Cluster("cluster", List.of(), partitions, Collections.emptySet(), Collections.emptySet());
        List<String> results = new ArrayList<>();
        try {
            var assignments = assignor.assign(cluster, new GroupSubscription(subscriptions)).groupAssignment();
            for (String member : members) {
                List<TopicPartition> got = new ArrayList<>(assignments.get(member).partitions());
                got.sort(Comparator.comparing(TopicPartition::topic).thenComparing(TopicPartition::partition));
                StringBuilder line = new StringBuilder("gets");
                for (TopicPartition partition : got) line.append(' ').append(partition);
                results.add(line.toString());
            }
        } catch (RuntimeException e) {
            results.clear();
            results.add("throws " + e);
        }
        return results;
    }

    static ConsumerPartitionAssignor named(String name) {
        return switch (name) {
            case "range" -> new RangeAssignor();
            case "roundrobin" -> new RoundRobinAssignor();
            case "sticky" -> new StickyAssignor();
            case "cooperative-sticky" -> new CooperativeStickyAssignor();
            default -> throw new IllegalArgumentException(name);
        };
    }

    static PartitionInfo partition(String topic, int number, String racks) {
        List<Node> replicas = new ArrayList<>();
        if (!racks.equals("-")) {
            for (String rack : racks.split(",")) replicas.add(new Node(replicas.size(), "localhost", 9092, rack));
        }
        Node[] nodes = replicas.toArray(new Node[0]);
        return new PartitionInfo(topic, number, Node.noNode(), nodes, nodes);
    }
}
