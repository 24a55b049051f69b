import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import java.util.List;

/** A server of MongoDB's protocol that keeps everything in memory: `java -cp … MongoStandIn.java <host> <port>`. */
public class MongoStandIn {
  public static void main(String[] arguments) {
    // The newest version that the library itself offers speaks wire version 8, and current drivers want 9 or more.
    MongoVersion version = new MongoVersion() {
      public List<Integer> getVersionArray() { return List.of(5, 0, 0); }
      public int getWireVersion() { return 13; }
    };
    MongoServer server = new MongoServer(new MemoryBackend().version(version));
    server.enableOplog(); // change streams
    server.bind(arguments[0], Integer.parseInt(arguments[1]));
  }
}
