import com.adobe.testing.s3mock.S3MockApplication;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.boot.web.embedded.tomcat.TomcatServletWebServerFactory;
import org.springframework.boot.web.server.WebServerFactoryCustomizer;
import org.springframework.context.annotation.Bean;

/** S3Mock on one connector. Its second one listens on every interface, and no setting of its own binds that to loopback. */
public class S3Loopback {
  @Bean
  WebServerFactoryCustomizer<TomcatServletWebServerFactory> oneConnector() {
    return factory -> factory.getAdditionalTomcatConnectors().clear();
  }

  public static void main(String[] arguments) {
    new SpringApplicationBuilder(S3MockApplication.class, S3Loopback.class).run(arguments);
  }
}
